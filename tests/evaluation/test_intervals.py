"""Intervals hold the truth as often as they say, for few rows and near the ends too, and stay within the bounds."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from ncs.evaluation import intervals
from ncs.evaluation.intervals import Bin, Interval

SETS = 400


def covered(found: list[Interval], truth: float, low: float = 0.0, high: float = 1.0) -> float:
    """The share of the intervals that hold the truth; all of them lie within the bounds."""
    assert all(low <= one.low <= one.high <= high for one in found)
    return float(np.mean([one.low <= truth <= one.high for one in found]))


def areas(truth: float, pos: int, neg: int, ties: bool = False, seed: int = 0) -> tuple[list[Interval], float]:
    """Intervals of samples from two normal distributions, and the area; with ties, of scores of about six values."""
    random = np.random.default_rng(seed)
    apart = stats.norm.ppf(truth) * np.sqrt(2)
    if ties:
        steps = np.arange(-9, 15)
        above, below = (np.diff(stats.norm.cdf(steps - mean)) for mean in (apart, 0.0))
        truth = float(above @ (np.cumsum(below) - below / 2))
    found = []
    for _ in range(SETS):
        one, other = random.normal(apart, 1, pos), random.normal(0, 1, neg)
        if ties:
            one, other = np.floor(one), np.floor(other)
        wins = (one[:, None] > other) + 0.5 * (one[:, None] == other)
        variance = wins.mean(1).var(ddof=1) / pos + wins.mean(0).var(ddof=1) / neg
        found.append(intervals.auc(float(wins.mean()), float(variance), pos, neg))
    return found, truth


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("truth", "pos", "neg"), [(0.6, 60, 60), (0.8, 20, 100), (0.9, 30, 30), (0.99, 100, 100)])
def test_the_interval_of_an_area_holds_it(truth: float, pos: int, neg: int, ties: bool) -> None:
    """Ends that are as near as with 200 rows at 0.99 leave few figures possible: the share goes in steps there."""
    found, truth = areas(truth, pos, neg, ties)
    assert 0.93 <= covered(found, truth) <= (0.975 if truth < 0.98 else 0.99)


@pytest.mark.parametrize(("truth", "pos", "neg"), [(0.7, 5, 5), (0.95, 5, 5), (0.99, 5, 5), (0.99, 8, 60)])
def test_of_few_rows_an_interval_holds_the_area_at_least_as_often(truth: float, pos: int, neg: int) -> None:
    """Most samples at 0.99 are in perfect order; a standard error says then that there is no doubt."""
    found, truth = areas(truth, pos, neg)
    assert covered(found, truth) >= 0.93


def test_ends_of_an_area() -> None:
    perfect, reverse = intervals.auc(1.0, 0.0, 10, 10), intervals.auc(0.0, 0.0, 10, 10)
    assert perfect.high == 1.0
    assert 0.6 < perfect.low < 0.9
    assert tuple(reverse) == pytest.approx((0.0, 1 - perfect.low))
    assert intervals.auc(1.0, 0.0, 1000, 1000).low > 0.995
    assert intervals.auc(0.5, 0.0, 10, 10) == (0.5, 0.5), "equal scores"
    many = intervals.auc(0.75, 1e-6, 100_000, 100_000)
    assert tuple(many) == pytest.approx((0.75 - 1.96e-3, 0.75 + 1.96e-3), abs=3e-5), "many rows: the usual interval"


DRAWS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "squares": lambda random, n: (random.random(n) - 0.5) ** 2,
    "mostly one": lambda random, n: np.minimum(1.0, random.choice([1.0, 0.75, 0.5], n, p=[0.9, 0.06, 0.04])),
    "areas of users": lambda random, n: random.beta(4, 1.5, n),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_interval_of_a_mean_of_shares_holds_it(name: str) -> None:
    random = np.random.default_rng(2)
    truth = DRAWS[name](random, 400_000).mean()
    for n in (10, 100):
        samples = [DRAWS[name](random, n) for _ in range(SETS)]
        found = [intervals.mean_of_shares(x.mean(), x.std(ddof=1) / np.sqrt(n), n, n - 1) for x in samples]
        assert covered(found, truth) >= 0.92
        assert covered(found, truth) <= 0.985 or n == 10


def test_a_mean_without_an_error_is_as_uncertain_as_ones_and_zeros() -> None:
    assert intervals.mean_of_shares(1.0, 0.0, 10, 9) == (pytest.approx(0.66, abs=0.02), 1.0)
    assert intervals.mean_of_shares(0.0, 0.0, 10, 9).high == pytest.approx(0.34, abs=0.02)
    alone = intervals.mean_of_shares(0.9, 0.0, 1, 0)
    assert 0 <= alone.low < 0.1
    assert alone.high > 0.9


def test_the_interval_of_a_loss_is_not_negative() -> None:
    random = np.random.default_rng(3)
    samples = random.exponential(0.4, (SETS, 20))
    found = [intervals.positive_mean(x.mean(), x.std(ddof=1) / np.sqrt(20), 20) for x in samples]
    assert 0.91 <= covered(found, 0.4, high=np.inf) <= 0.97
    assert intervals.positive_mean(0.3, 0.3, 2).low > 0
    assert intervals.positive_mean(0.0, 0.0, 5) == (0.0, 0.0)


@pytest.mark.parametrize(("slope", "n"), [(0.0, 10), (1.0, 30), (2.0, 60)])
def test_the_interval_of_a_rank_correlation_holds_it(slope: float, n: int) -> None:
    random = np.random.default_rng(4)
    r = slope / np.sqrt(1 + slope**2)
    truth = 6 / np.pi * np.arcsin(r / 2)  # of the normal distribution
    found = []
    for _ in range(SETS):
        x = random.normal(size=n)
        found.append(intervals.rank_correlation(float(stats.spearmanr(x, slope * x + random.normal(size=n))[0]), n))
    assert 0.93 <= covered(found, truth, low=-1.0) <= 0.985


def test_a_perfect_order_of_few_rows_is_not_certain() -> None:
    low, high = intervals.rank_correlation(1.0, 6)
    assert 0 < low < 0.95
    assert high == 1.0
    assert tuple(intervals.rank_correlation(-1.0, 6)) == (-1.0, pytest.approx(-low))


def bins(predictions: np.ndarray, labels: np.ndarray) -> list[Bin]:
    """The 20 bins of the prediction, as Spark counts them."""
    place = np.minimum(predictions * 20, 19).astype(int)
    found = []
    for one in np.unique(place):
        of, p = labels[place == one], predictions[place == one]
        error = (p - of).std(ddof=1) / np.sqrt(len(of)) if len(of) > 1 else 0.0
        found.append(Bin(len(of), float(of.mean()), float(p.mean()), float(error)))
    return found


@pytest.mark.parametrize("rows", [300, 3000])
@pytest.mark.parametrize("shape", [(1, 1), (1, 12)])
def test_a_perfect_model_has_no_calibration_error(rows: int, shape: tuple[int, int]) -> None:
    random = np.random.default_rng(5)
    found, plain = [], []
    for _ in range(150):
        predictions = random.beta(*shape, rows)
        of = bins(predictions, (random.random(rows) < predictions).astype(float))
        found.append(intervals.calibration_error(of))
        plain.append(sum(one.n * abs(one.label - one.prediction) for one in of) / rows)
    assert covered([one.interval for one in found], 0.0) >= 0.93
    values = np.array([one.value for one in found])
    assert np.median(values) < 0.25 * np.mean(plain)
    assert all(one.interval.low <= one.value <= one.interval.high for one in found)


@pytest.mark.parametrize("kind", ["all", "some"])
def test_the_interval_of_a_calibration_error_holds_it(kind: str) -> None:
    """All predictions are too high by 0.05, or those of more than 0.6 by 0.1."""
    random = np.random.default_rng(6)
    found, truths = [], []
    for _ in range(150):
        predictions = random.uniform(0.06, 0.99, 8000)
        right = predictions - (0.05 if kind == "all" else 0.1 * (predictions > 0.6))
        found.append(intervals.calibration_error(bins(predictions, (random.random(8000) < right).astype(float))))
        truths.append(np.mean(predictions - right))
    truth = float(np.mean(truths))
    assert covered([one.interval for one in found], truth) >= 0.93
    assert np.mean([one.interval.low > 0 for one in found]) > 0.99, "and excludes 0"
    assert np.mean([one.value for one in found]) == pytest.approx(truth, rel=0.12)


def test_bins_of_single_rows_have_an_interval() -> None:
    one = intervals.calibration_error([Bin(1, 1.0, 0.9, 0.0)])
    assert (one.value, one.interval.low) == (0.0, 0.0)
    exact = intervals.calibration_error([Bin(5, 0.0, 0.0, 0.0), Bin(5, 1.0, 1.0, 0.0)])
    assert exact.value == exact.interval.low == 0.0
    assert exact.interval.high < 1e-6
