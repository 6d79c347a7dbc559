"""Bands learnt from the trailing days."""

from collections.abc import Callable
from datetime import date, timedelta

import pytest

from ncs.config import Config
from ncs.config.schema import Learnt
from validation.bands import figures, learn

FIRST = date(2022, 4, 8)


@pytest.fixture
def learnt(load_conf: Callable[..., Config]) -> Learnt:
    return load_conf().gates.learnt.model_copy(update={"days": 4, "least": 3})


def days(*click_rates: float) -> dict[date, dict[str, float]]:
    return {FIRST + timedelta(days=n): {"click_rate": rate} for n, rate in enumerate(click_rates)}


def test_a_day_is_held_against_the_median_of_those_before_it(learnt: Learnt) -> None:
    bands = learn(days(0.39, 0.40, 0.41, 0.40), learnt)
    assert list(bands) == [FIRST + timedelta(days=3)]
    assert bands[FIRST + timedelta(days=3)]["click_rate"] == pytest.approx((0.28, 0.52))


def test_days_that_differ_much_widen_their_band(learnt: Learnt) -> None:
    low, high = learn(days(0.2, 0.4, 0.6, 0.4), learnt)[FIRST + timedelta(days=3)]["click_rate"]
    assert (low, high) == pytest.approx((0.0, 0.4 + 4 * 1.4826 * 0.2))


def test_a_bad_day_teaches_nothing(learnt: Learnt) -> None:
    bands = learn(days(0.4, 0.4, 0.4, 0.2, 0.2, 0.4), learnt)
    assert [band["click_rate"] for band in bands.values()] == [pytest.approx((0.28, 0.52))] * 3


def test_only_so_many_days_back_are_looked_at(learnt: Learnt) -> None:
    rising = learn(days(0.30, 0.32, 0.34, 0.36, 0.38, 0.40, 0.42), learnt)
    assert sum(rising[FIRST + timedelta(days=6)]["click_rate"]) / 2 == pytest.approx(0.37)  # of 0.34 to 0.40
    assert learn(days(0.4, 0.4, 0.4, 0.1), learnt.model_copy(update={"days": 0})) == {}


def test_figures_are_those_of_the_account() -> None:
    facts = {"samples": 100, "clicked": 40, "unlabelled": 4, "mean_cvr": 0.5}
    assert figures(facts) == {"rows": 100, "click_rate": 0.4, "unlabelled": 0.1, "mean_cvr": 0.5}
    assert "mean_cvr" not in figures({**facts, "mean_cvr": None})
