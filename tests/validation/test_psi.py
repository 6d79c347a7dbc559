"""The population stability index sees what moves, whatever its scale and sign, and nothing where nothing moves."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from validation.psi import psi

Draw = Callable[[np.random.Generator, int], np.ndarray]


def sketch(values: np.ndarray) -> dict[str, Any]:
    """As `ncs.features.profile` takes it of a day."""
    ordered = np.sort(values.astype(float))
    places = np.maximum(np.ceil(np.arange(101) / 100 * len(ordered)).astype(int) - 1, 0)
    return {"rows": len(ordered), "values": np.clip(ordered[places], -1.79e308, 1.79e308).tolist()}


def index(before: Draw, now: Draw, rows: int = 10_000, days: int = 7, seed: int = 0) -> float:
    random = np.random.default_rng(seed)
    trailing = [{"quantiles": {"x": sketch(before(random, rows))}} for _ in range(days)]
    today = json.loads(json.dumps({"quantiles": {"x": sketch(now(random, rows))}}, allow_nan=False))
    found = psi("x", today, trailing)
    assert found is not None
    return found


def zeros(share: float) -> Draw:
    return lambda random, n: np.where(random.random(n) < share, 0.0, random.exponential(5, n))


MOVES: dict[str, tuple[Draw, Draw]] = {
    "shares": (lambda random, n: random.beta(2, 8, n), lambda random, n: random.beta(8, 2, n)),
    "sign": (lambda random, n: random.normal(3, 1, n), lambda random, n: random.normal(-3, 1, n)),
    "mirrored": (lambda random, n: -random.exponential(1, n), lambda random, n: random.exponential(1, n)),
    "large": (lambda random, n: random.normal(4e5, 4e4, n), lambda random, n: random.normal(4e6, 4e5, n)),
    "hours": (lambda random, n: random.integers(7, 9, n), lambda random, n: random.integers(13, 15, n)),
    "a little": (lambda random, n: random.normal(0, 1, n), lambda random, n: random.normal(0.7, 1, n)),
    "wider": (lambda random, n: random.normal(0, 1, n), lambda random, n: random.normal(0, 3, n)),
    "more zeros": (zeros(0.6), zeros(0.9)),
    "no zeros": (zeros(0.6), zeros(0.0)),
    "constants": (lambda _, n: np.full(n, 5.0), lambda _, n: np.full(n, 3.0)),
    "to a constant": (lambda random, n: random.normal(0, 1, n), lambda _, n: np.full(n, 0.1)),
    "from a constant": (lambda _, n: np.full(n, 5.0), lambda random, n: random.normal(5, 1, n)),
    "booleans": (lambda random, n: random.random(n) < 0.05, lambda random, n: random.random(n) < 0.5),
    "to infinity": (
        lambda random, n: random.normal(0, 1, n),
        lambda random, n: np.where(random.random(n) < 0.4, np.inf, random.normal(0, 1, n)),
    ),
}


@pytest.mark.parametrize("rows", [300, 10_000])
@pytest.mark.parametrize("name", MOVES)
def test_what_moves_is_seen(name: str, rows: int) -> None:
    before, now = MOVES[name]
    assert index(before, now, rows) > 0.25
    assert index(now, before, rows) > 0.25


@pytest.mark.parametrize("rows", [40, 300, 10_000])
@pytest.mark.parametrize("name", MOVES)
def test_what_stays_is_not(name: str, rows: int) -> None:
    """Of 40 days of any of the distributions, none is further than the default of `gates.learnt.psi`."""
    for draw in MOVES[name]:
        found = [index(draw, draw, rows, days=3, seed=seed) for seed in range(20)]
        assert max(found) < 0.25
        assert rows < 10_000 or max(found) < 0.02


def test_the_index_is_that_of_deciles() -> None:
    """Of two normal distributions apart by one standard deviation."""
    random = np.random.default_rng(1)
    one, other = random.normal(0, 1, 200_000), random.normal(1, 1, 200_000)
    edges = np.quantile(one, np.arange(1, 10) / 10)
    q, p = (np.bincount(np.searchsorted(edges, x), minlength=10) / len(x) for x in (one, other))
    expected = float(((p - q) * np.log(p / q)).sum())
    found = psi("x", {"quantiles": {"x": sketch(other)}}, [{"quantiles": {"x": sketch(one)}}])
    assert found == pytest.approx(expected, rel=0.1)


def test_values_are_counted_by_bucket() -> None:
    def day(**shares: float) -> dict[str, Any]:
        return {"histogram": {"x": {name.strip("b"): round(1000 * share) for name, share in shares.items()}}}

    before = [day(b3=0.5, b19=0.3, b40=0.2)] * 3
    expected = 0.2 * np.log(0.5 / 0.3) * 2
    assert psi("x", day(b3=0.3, b19=0.5, b40=0.2), before) == pytest.approx(expected, rel=0.02)
    assert psi("x", day(b3=0.5, b19=0.3, b40=0.2), before) == pytest.approx(0.0, abs=1e-6)
    assert (psi("x", day(b7=1.0), before) or 0) > 1


def test_many_values_of_few_rows_are_no_move() -> None:
    random = np.random.default_rng(2)

    def day(rows: int) -> dict[str, Any]:
        buckets, counts = np.unique(random.integers(0, 256, rows), return_counts=True)
        return {"histogram": {"x": dict(zip(map(str, buckets), counts.tolist(), strict=True))}}

    for rows in (40, 300, 3000, 10_000):
        assert max(psi("x", day(rows), [day(rows) for _ in range(3)]) or 0 for _ in range(20)) < 0.25


def test_what_cannot_be_compared_has_no_index() -> None:
    numbers = {"quantiles": {"x": sketch(np.arange(100))}}
    values = {"histogram": {"x": {"3": 100}}}
    few = {"quantiles": {"x": sketch(np.arange(5))}}
    old = {"spread": {"x": {"3": 100}}}
    for now, before in (
        (numbers, values),
        (values, numbers),
        (numbers, old),
        (few, numbers),
        (numbers, few),
        (old, old),
    ):
        assert psi("x", now, [before]) is None
    assert psi("x", {"histogram": {"x": {}}}, [{"histogram": {"x": {}}}]) is None
