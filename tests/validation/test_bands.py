"""Bands learnt from the trailing days."""

import math
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

import pytest

from ncs.config import Config
from ncs.config.gates import Learnt
from validation.bands import Bands, figures, learn, without_left

FIRST = date(2022, 4, 8)


@pytest.fixture
def learnt(load_conf: Callable[..., Config]) -> Learnt:
    return load_conf().gates.learnt.model_copy(update={"days": 4, "least": 3})


def days(*click_rates: float, profiles: Sequence[dict[str, Any]] = ()) -> dict[date, dict[str, Any]]:
    """Facts of days with 1000 rows each, and of the rest what does not matter."""
    facts = {"samples": 1000, "unlabelled": 0, "mean_cvr": 0.5}
    found = {FIRST + timedelta(days=n): {**facts, "clicked": 1000 * rate} for n, rate in enumerate(click_rates)}
    for day, profile in zip(found.values(), profiles, strict=False):
        day["profile"] = profile
    return found


def profile(nulls: float = 0.0, seen: range = range(100), feed: int = 50) -> dict[str, Any]:
    """Of a day: its share of rows without a scene, its users' hashes, how many of 100 rows are of the feed."""
    scenes = {"scene": {"3": feed, "5": 100 - feed}}
    return {"nulls": {"scene": nulls}, "histogram": scenes, "ids": {"user_id": {"below": 1000, "seen": list(seen)}}}


def click_rate(bands: Bands) -> tuple[float, float]:
    return bands["click_rate"][:2]


def test_a_day_is_held_against_the_median_of_those_before_it(learnt: Learnt) -> None:
    bands = learn(days(0.39, 0.40, 0.41, 0.40), learnt)
    assert list(bands) == [FIRST + timedelta(days=3)]
    assert click_rate(bands[FIRST + timedelta(days=3)]) == pytest.approx((0.28, 0.52))


def test_days_that_differ_much_widen_their_band(learnt: Learnt) -> None:
    low, high = click_rate(learn(days(0.2, 0.4, 0.6, 0.4), learnt)[FIRST + timedelta(days=3)])
    assert (low, high) == pytest.approx((0.0, 0.4 + 4 * 1.4826 * 0.2))


def test_a_bad_day_teaches_nothing(learnt: Learnt) -> None:
    bands = learn(days(0.4, 0.4, 0.4, 0.2, 0.2, 0.4), learnt)
    assert [click_rate(band) for band in bands.values()] == [pytest.approx((0.28, 0.52))] * 3


def test_only_so_many_days_back_are_looked_at(learnt: Learnt) -> None:
    rising = learn(days(0.30, 0.32, 0.34, 0.36, 0.38, 0.40, 0.42), learnt)
    assert sum(click_rate(rising[FIRST + timedelta(days=6)])) / 2 == pytest.approx(0.37)  # of 0.34 to 0.40
    assert learn(days(0.4, 0.4, 0.4, 0.1), learnt.model_copy(update={"days": 0})) == {}


def test_figures_are_those_of_the_account() -> None:
    facts = {"samples": 100, "clicked": 40, "unlabelled": 4, "mean_cvr": 0.5}
    assert figures(facts) == {"rows": 100, "click_rate": 0.4, "unlabelled": 0.1, "mean_cvr": 0.5}
    assert "mean_cvr" not in figures({**facts, "mean_cvr": None})


def test_missing_values_new_ids_and_distributions_are_figures_of_their_columns(learnt: Learnt) -> None:
    same = [profile()] * 4
    last = FIRST + timedelta(days=4)
    bad = {
        "nulls.scene": profile(nulls=0.2),
        "new_ids.user_id": profile(seen=range(60, 160)),
        "psi.scene": profile(feed=90),
    }
    # A day's new ids can be told from the second day on, so that they have a band one day later than the rest.
    for name, found in {**bad, "": profile(nulls=0.05, seen=range(10, 110), feed=55)}.items():
        bands = learn(days(*[0.4] * 5, profiles=[*same, found]), learnt)[last]
        assert [figure for figure, band in bands.items() if not band.holds] == ([name] if name else [])
    bands = learn(days(*[0.4] * 5, profiles=[*same, bad["new_ids.user_id"]]), learnt)[last]
    assert bands["new_ids.user_id"].value == 0.6
    assert bands["psi.scene"].value == pytest.approx(0.0)


def test_the_index_is_the_population_stability_index() -> None:
    before, now = profile(feed=50), profile(feed=80)
    (today,) = days(0.4, profiles=[now]).values()
    (yesterday,) = days(0.4, profiles=[before]).values()
    expected = 0.3 * math.log(0.8 / 0.5) - 0.3 * math.log(0.2 / 0.5)
    assert figures(today, [yesterday])["psi.scene"] == pytest.approx(expected, rel=0.03)  # half a row of smoothing


def test_ids_are_compared_where_every_day_remembers_them() -> None:
    small = {**profile(), "ids": {"user_id": {"below": 50, "seen": list(range(50))}}}
    (today,) = days(0.4, profiles=[profile(seen=range(40, 140))]).values()
    (yesterday,) = days(0.4, profiles=[small]).values()
    assert figures(today, [yesterday])["new_ids.user_id"] == 0.0  # 40 to 49 alone can be told


def test_a_day_that_only_warns_goes_on_to_teach(learnt: Learnt) -> None:
    shifted = [profile()] * 3 + [profile(feed=95)] * 5
    bands = learn(days(*[0.4] * 8, profiles=shifted), learnt)
    held = [not band["psi.scene"].holds for band in bands.values()]
    assert held[0]
    assert not held[-1]  # it is what the trailing days are like by now
    stops = learn(days(*[0.4] * 8, profiles=shifted), learnt.model_copy(update={"warn": []}))
    assert all(not band["psi.scene"].holds for band in stops.values())


def test_days_whose_profiles_an_earlier_version_wrote_have_no_index(learnt: Learnt) -> None:
    old = {name: part for name, part in profile().items() if name != "histogram"} | {"spread": {"scene": {"3": 100}}}
    bands = learn(days(*[0.4] * 5, profiles=[old, old, old, profile(), profile(feed=90)]), learnt)
    last, before = bands[FIRST + timedelta(days=4)], bands[FIRST + timedelta(days=3)]
    assert "psi.scene" not in before
    assert "nulls.scene" in before
    assert last["psi.scene"].value > 0.25, "against the one day that has a distribution"


def test_fewer_nulls_never_block(learnt: Learnt) -> None:
    """A column begins on the fifth day."""
    begun = [profile(nulls=1.0)] * 4 + [profile(nulls=0.0)] * 3
    bands = learn(days(*[0.4] * 7, profiles=begun), learnt)
    assert all(band["nulls.scene"].holds for band in bands.values())
    assert bands[FIRST + timedelta(days=4)]["nulls.scene"] == (0.0, 1.1, 0.0)


def test_a_column_that_is_no_feature_may_leave(learnt: Learnt) -> None:
    left = days(*[0.4] * 5, profiles=[profile()] * 4 + [profile(nulls=1.0)])
    last = FIRST + timedelta(days=4)
    for fields, holds in ((["scene"], False), ([], True)):
        bands = learn({day: without_left(facts, fields) for day, facts in left.items()}, learnt)[last]
        assert all(band.holds for band in bands.values()) is holds
    assert without_left({"samples": 1}, []) == {"samples": 1}
