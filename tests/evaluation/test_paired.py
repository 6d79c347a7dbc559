"""Paired figures: exact values, intervals that hold the truth as often as they say, no win that chance would give."""

import numpy as np
import pytest
from scipy import stats

from ncs.errors import DataError
from ncs.evaluation.comparison import Compared, Judged, as_table, differences, legend, smallest
from ncs.evaluation.paired import Figures, Mean, figures, holm
from ncs.metrics import METRICS, auc
from ncs.tasks import named_tasks
from tests.evaluation.factories import judged
from tests.factories import toy_conf

TASKS = named_tasks(toy_conf())


def rows(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = (random.random(count) < 0.4).astype(np.float32)
    return labels, np.round(labels * 0.3 + random.random(count), 1)  # many ties


def test_auc_is_a_mean_over_rows_with_delong_s_variance() -> None:
    labels, scores = rows(500)
    values = METRICS["auc"].values(labels, scores)
    assert values.mean() == pytest.approx(auc(labels, scores))
    clicked, others = scores[labels == 1], scores[labels == 0]
    order = (clicked[:, None] > others) + 0.5 * (clicked[:, None] == others)
    delong = order.mean(1).var() / len(clicked) + order.mean(0).var() / len(others)
    assert values.var() / 500 == pytest.approx(delong)


def test_a_weighted_mean_has_the_variance_of_a_ratio() -> None:
    random = np.random.default_rng(2)
    means, variances = [], []
    for _ in range(2000):
        weights, expected = random.random(100), random.random(100)
        scores = expected * random.random(100) * weights  # errors hang on the weights
        values = METRICS["excess_error"].values(expected, scores, weights)
        assert values.mean() == pytest.approx(np.average((expected - scores) ** 2, weights=weights))
        means.append(values.mean())
        variances.append(values.var(ddof=1) / 100)
    assert np.var(means) == pytest.approx(np.mean(variances), rel=0.08)


def test_a_saturated_prediction_has_a_finite_error() -> None:
    values = METRICS["cross_entropy"].values(np.array([0.5, 1.0]), np.array([1.0, 0.0], np.float32))
    assert values == pytest.approx([-0.5 * np.log(1e-7), -np.log(1e-7)])


def test_rows_without_a_label_do_not_count() -> None:
    labels, scores = rows(300)
    holes = labels.copy()
    holes[100:] = np.nan
    found = figures(TASKS["cvr"], holes, [{"a": scores}, {"a": scores / 2}]).mean("a")
    errors = [np.mean((labels[:100] - s[:100]) ** 2) for s in (scores, scores / 2)]
    assert found.by_seed == pytest.approx(errors)
    assert found.value == pytest.approx(np.mean(errors))
    assert found.rows == 100


def test_rows_that_give_no_figure_are_refused() -> None:
    alike = np.ones(10)
    with pytest.raises(DataError, match="CTR AUC needs rows with a label of either kind; the test rows hold 10 and 0"):
        figures(TASKS["ctr"], alike, [{"a": alike}])
    with pytest.raises(DataError, match="CVR MSE needs rows with a label; the test rows hold 0"):
        figures(TASKS["cvr"], alike * np.nan, [{"a": alike}])


def test_mean_squares_are_those_of_the_textbook() -> None:
    """Against sums of squares written out, of both models' differences at every seed and row."""
    random = np.random.default_rng(3)
    labels = random.random(40)
    predictions = [{model: random.random(40) for model in "ab"} for _ in range(3)]
    found = figures(TASKS["cvr"], labels, predictions).difference("a", "b")
    apart = np.stack([(labels - one["a"]) ** 2 - (labels - one["b"]) ** 2 for one in predictions])
    whole, of_seed, of_row = apart.mean(), apart.mean(1), apart.mean(0)
    ms_rows = 3 * ((of_row - whole) ** 2).sum() / 39
    ms_noise = ((apart - of_seed[:, None] - of_row + whole) ** 2).sum() / (2 * 39)
    assert (found.of_rows, found.of_noise) == pytest.approx((ms_rows, ms_noise))
    ms_seeds = 40 * of_seed.var(ddof=1)
    total = ms_seeds + max(ms_rows - ms_noise, 0)
    assert found.error == pytest.approx(np.sqrt(total / 120))
    freedom = max(total**2 / (ms_seeds**2 / 2 + ms_rows**2 / 39 + ms_noise**2 / 78), 2)
    assert found.freedom == pytest.approx(freedom)
    half = stats.t.ppf(0.975, freedom) * found.error
    assert found.over_both == pytest.approx((whole - half, whole + half))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(whole) / found.error, freedom))
    assert found.over_seeds.high - whole == pytest.approx(stats.t.ppf(0.975, 2) * of_seed.std(ddof=1) / np.sqrt(3))


def test_with_one_seed_the_rows_alone_decide() -> None:
    random = np.random.default_rng(3)
    labels, scores = random.random(4000), np.full(4000, 0.5)
    found = figures(TASKS["cvr"], labels, [{"a": scores}]).mean("a")
    error = ((labels - scores) ** 2).std(ddof=1) / np.sqrt(4000)
    assert found.error == pytest.approx(error)
    assert found.over_both == pytest.approx(found.over_rows)
    assert found.over_seeds == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("seed_part", "row_part", "noise_part", "seeds"),
    [(0, 1, 0.5, 5), (1, 0, 1, 5), (0.3, 1, 3, 5), (1, 1, 1, 3), (0.2, 0.2, 5, 20), (0.05, 1, 30, 5), (0, 1, 5, 5)],
)
def test_intervals_hold_the_truth_95_times_in_100(
    seed_part: float, row_part: float, noise_part: float, seeds: int
) -> None:
    """Known components of variance: what each adds to the variance of the mean, but for the noise, a value's."""
    random, count, repeats = np.random.default_rng(7), 60, 4000
    of_seed = random.normal(0, np.sqrt(seed_part * seeds), (repeats, seeds, 1))
    of_row = random.normal(0, np.sqrt(row_part * count), (repeats, 1, count))
    noise = random.normal(0, np.sqrt(noise_part * count), (repeats, seeds, count))
    held = 0
    for values in of_seed + of_row + noise:
        middle = values.mean()
        left = values - values.mean(1, keepdims=True)
        squares = seeds * values.mean(0).var(ddof=1)
        rest = ((left**2).sum() - squares * (count - 1)) / ((seeds - 1) * (count - 1))
        low, high = Mean(values.mean(1), count, squares, rest).over_both
        held += low < 0 < high
        assert low < middle < high
    assert 0.93 <= held / repeats <= 0.97


def test_intervals_of_auc_hold_the_truth_95_times_in_100() -> None:
    """Two models of equal skill that see the same noise of the rows and differ by seed: their true difference is 0."""
    random, held, repeats = np.random.default_rng(11), 0, 1000
    for _ in range(repeats):
        labels = (random.random(300) < 0.3).astype(float)
        common, own = random.normal(size=300), random.normal(size=(2, 300))
        predictions = [
            {
                model: (1 + 0.3 * random.normal()) * labels + common + 0.5 * own[n] + 0.5 * random.normal(size=300)
                for n, model in enumerate("ab")
            }
            for _ in range(5)
        ]
        low, high = figures(TASKS["ctr"], labels, predictions).difference("a", "b").over_both
        held += low < 0 < high
    assert 0.93 <= held / repeats <= 0.97


def test_a_difference_of_the_smallest_size_is_settled_four_times_in_five() -> None:
    random, settled, repeats = np.random.default_rng(5), 0, 2000
    values = random.normal(0, 1, (repeats, 400))
    wanted = Mean(np.zeros(1), 400, 1.0, 0.0).smallest()
    assert wanted == pytest.approx((1.96 + 0.84) / 20, rel=0.01)
    for one in values + wanted:
        settled += Mean(one.mean(keepdims=True), 400, one.var(ddof=1), 0.0).over_both.low > 0
    assert settled / repeats == pytest.approx(0.8, abs=0.03)


def test_p_values_are_corrected_as_holm_says() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def compared(model: str) -> Compared:
    facts = {"parameters": 1000, "density": 0.5, "seconds": 20.0 if model == "single_task" else 30.0}
    return Compared(model, {}, [facts] * 3)


def test_a_win_is_claimed_only_where_it_is_settled() -> None:
    planted = {"single_task": (0.135, 0.79), "b": (0.134, 0.78), "c": (0.134, 0.79)}
    models, found_in = [compared(name) for name in planted], judged(planted)
    listed = differences(models, found_in, ["single_task", "b", "nobody"])
    found = {(one.model, one.reference, one.task): one for one in listed}
    assert found["b", "single_task", "cvr"].better is True
    assert found["b", "single_task", "ctr"].better is False
    assert found["c", "b", "cvr"].better is None
    assert found["b", "single_task", "cvr"].relative == pytest.approx(-0.001 / 0.135)
    assert not any("nobody" in key for key in found)
    table = as_table(models, found_in, listed, ["single_task", "b"])
    header, _, single, b, _ = table.splitlines()
    assert header.split("|")[2].strip() == "CVR MSE", "the task that the paper is about comes first"
    assert [cell.strip() for cell in single.split("|")][2:4] == ["0.13500", "0.13688"], "the paper's figure beside"
    assert [part for part in ("+100 [", "] better", "-100 [", "] worse") if part not in b] == [], "+ is better in both"
    assert b.split("|")[-2].strip() == "1.5"


def test_what_one_interval_excludes_may_be_open_among_many() -> None:
    """Twenty models that are alike, one of them a little off: its own interval excludes zero, Holm's does not."""
    task, count = TASKS["cvr"], 21
    by_seed = np.zeros((count, 1))
    by_seed[1] = 2.3
    squares = np.eye(count) * 500
    names = tuple(f"m{n}" for n in range(count))
    found_in = [Judged(task, task.measure, Figures(names, by_seed, 1000, squares, np.zeros_like(squares)))]
    models = [compared(name) for name in names]
    off = next(one for one in differences(models, found_in, ["m0"]) if one.model == "m1")
    assert off.low > 0
    assert off.p == pytest.approx(2 * stats.t.sf(2.3, 999))
    assert off.p_holm == pytest.approx(20 * off.p)
    assert off.better is None
    assert off.smallest_holm is not None
    assert off.smallest is not None
    assert off.smallest_holm > 1.3 * off.smallest, "one among twenty has to be larger"
    alone = differences(models[:2], found_in, ["m0"])
    assert alone[0].better is False, "less is better"
    _, line = smallest(found_in, differences(models, found_in, ["m0"]), ["m0", "nobody"]).splitlines()
    each = stats.t.ppf([1 - 0.05 / 40, 0.975], 999) + stats.t.ppf(0.8, 999)
    assert line == f"  from m0: CVR MSE {1e5 * each[0]:.0f} ({1e5 * each[1]:.0f})"
    assert smallest(found_in, [], ["m0"]) == ""
    assert "the test impressions alone: there is one seed" in legend(found_in, ["m0"], 1)
