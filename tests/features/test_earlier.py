"""Statistics and histories are what a plain loop over the earlier rows gives, and no later row changes them."""

import math
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from ncs.config import Config
from ncs.errors import DataError
from ncs.features.earlier import Earlier, check_earlier
from ncs.features.encoding import build_vocabulary
from ncs.kinds.statistics import column_groups, sum_days
from tests.factories import toy_conf

FIRST = date(2022, 4, 1)
LAST = FIRST + timedelta(days=4)
SCHEMA = (
    "impression_id string, user_id long, video_id long, scene string, ts timestamp, day date, clicked int, "
    "cvr double, watched_seconds double"
)
FIELDS = "fields={user_id: {side: user, encode: vocabulary}, video_id: {side: video, encode: vocabulary}}"
OVERRIDES = (
    FIELDS,
    "statistics=[{by: [user_id], of: [clicked, cvr, impressions, watched_seconds], days: 3, smoothing: 2},"
    " {by: [user_id, scene], of: [clicked], days: 2, smoothing: 0, half_life: 1}]",
    "history={clicked: {of: [video_id], where: clicked, last: 3, days: 2},"
    " lagged: {of: [video_id, user_id], where: shown, last: 4, days: 1, lag_hours: 2}}",
)
NAMES = ["user_id_clicked_3d", "user_id_cvr_3d", "user_id_impressions_3d", "user_id_watched_seconds_3d"]
DECAYED = "user_id_scene_clicked_2d_half_life_1"


@pytest.fixture(scope="module")
def conf() -> Config:
    return toy_conf(*OVERRIDES)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """200 impressions of five days, some at the same time, of seven users; one scene is missing now and then."""
    random, found = np.random.default_rng(3), []
    for n in range(200):
        day = int(random.integers(5))
        hour = int(random.integers(24))
        clicked = int(random.random() < 0.5)
        found.append(
            {
                "impression_id": f"i{n:03}",
                "user_id": int(random.integers(7)) if n else 99,
                "video_id": int(random.integers(9)),
                "scene": [None, "feed", "search"][int(random.integers(3))],
                "ts": datetime(2022, 4, 1, tzinfo=UTC) + timedelta(days=day, hours=hour),
                "day": FIRST + timedelta(days=day),
                "clicked": clicked,
                "cvr": float(np.round(random.random(), 3)) if clicked and random.random() < 0.8 else None,
                "watched_seconds": float(np.round(random.random() * 20, 2)) * (random.random() < 0.7),
            }
        )
    return found


@pytest.fixture(scope="module")
def silver(spark: SparkSession, rows: list[dict[str, Any]]) -> DataFrame:
    return spark.createDataFrame([Row(**row) for row in rows], SCHEMA).persist()


@pytest.fixture(scope="module")
def vocabulary(silver: DataFrame, conf: Config) -> DataFrame:
    return build_vocabulary(silver, conf.fields).rows.persist()


def look_back(silver: DataFrame, vocabulary: DataFrame, conf: Config, day: date) -> dict[str, Row]:
    """The rows of a day with what they look back to, though they could look at all days."""
    samples, others = silver.where(F.col("day") == day), silver.where(F.col("day") != day)
    earlier = Earlier(conf, [day], sum_days(silver, column_groups(conf.statistics)), others)
    return {row.impression_id: row for row in earlier.join(samples, vocabulary).collect()}


@pytest.fixture(scope="module")
def last_day(silver: DataFrame, vocabulary: DataFrame, conf: Config) -> dict[str, Row]:
    return look_back(silver, vocabulary, conf, LAST)


def window(rows: Iterable[dict[str, Any]], day: date, days: int) -> list[dict[str, Any]]:
    return [row for row in rows if day - timedelta(days=days) <= row["day"] < day]


def test_statistics_are_of_the_days_before(last_day: dict[str, Row], rows: list[dict[str, Any]]) -> None:
    found = last_day
    assert len(found) == sum(row["day"] == LAST for row in rows)
    earlier = window(rows, LAST, 3)
    labelled = [row["cvr"] for row in earlier if row["cvr"] is not None]
    click_rate, mean_cvr = np.mean([row["clicked"] for row in earlier]), np.mean(labelled)
    for row in (row for row in rows if row["day"] == LAST):
        own = [other for other in earlier if other["user_id"] == row["user_id"]]
        labels = [other["cvr"] for other in own if other["cvr"] is not None]
        expected = [
            (sum(other["clicked"] for other in own) + 2 * click_rate) / (len(own) + 2),
            (sum(labels) + 2 * mean_cvr) / (len(labels) + 2),
            math.log1p(len(own)),
            math.log1p(sum(other["watched_seconds"] for other in own)),
        ]
        assert [found[row["impression_id"]][name] for name in NAMES] == pytest.approx(expected, abs=1e-6)
        if row["scene"] is None:
            assert found[row["impression_id"]][DECAYED] is None, "no value, no group"
            continue
        weights = {LAST - timedelta(days=1): 1.0, LAST - timedelta(days=2): 0.5}
        pairs = [
            (weights[other["day"]], other["clicked"])
            for other in own
            if other["day"] in weights and other["scene"] == row["scene"]
        ]
        rate = sum(w * c for w, c in pairs) / sum(w for w, _ in pairs) if pairs else None
        assert found[row["impression_id"]][DECAYED] == (pytest.approx(rate, abs=1e-6) if pairs else None)


def test_histories_are_the_latest_rows_before(
    last_day: dict[str, Row], vocabulary: DataFrame, rows: list[dict[str, Any]]
) -> None:
    found = last_day
    ids = {(row.field, row.value): row.id for row in vocabulary.collect()}

    def expected(events: list[dict[str, Any]], field: str, last: int) -> list[int]:
        events = sorted(events, key=lambda row: (row["ts"], row["impression_id"]), reverse=True)[:last]
        known = [ids[field, str(row[field])] for row in events]
        return known + [-1] * (last - len(known))

    some = 0
    for row in (row for row in rows if row["day"] == LAST):
        own = [other for other in rows if other["user_id"] == row["user_id"]]
        clicked = [other for other in window(own, LAST, 2) if other["clicked"]]
        assert found[row["impression_id"]]["clicked_video_id#"] == expected(clicked, "video_id", 3)
        shown = [
            other
            for other in own
            if other["ts"] < row["ts"] - timedelta(hours=2) and other["day"] >= LAST - timedelta(days=1)
        ]
        for field in ("video_id", "user_id"):
            assert found[row["impression_id"]][f"lagged_{field}#"] == expected(shown, field, 4)
        some += sum(other["day"] == LAST for other in shown)
    assert some > 10, "some of the day itself"


def test_no_later_day_changes_a_row(silver: DataFrame, vocabulary: DataFrame, conf: Config) -> None:
    """The row's own day is later than what its statistics, and a history up to the previous day, may know."""
    day = LAST - timedelta(days=1)
    whole = look_back(silver, vocabulary, conf, day)
    # Later days are gone, and the day itself has other labels: what is of that day would be another.
    own_day = F.col("day") == day
    turned = silver.where(F.col("day") <= day).withColumns(
        {
            "clicked": F.when(own_day, 1 - F.col("clicked")).otherwise(F.col("clicked")),
            "watched_seconds": F.when(own_day, F.lit(9.0)).otherwise(F.col("watched_seconds")),
            "cvr": F.when(own_day, F.lit(0.5)).otherwise(F.col("cvr")),
        }
    )
    names = [*NAMES, DECAYED, "clicked_video_id#", "lagged_video_id#"]
    found = look_back(turned, vocabulary, conf, day)
    assert {key: [row[name] for name in names] for key, row in found.items()} == {
        key: [row[name] for name in names] for key, row in whole.items()
    }


def test_the_first_day_has_nothing_to_look_back_to(silver: DataFrame, vocabulary: DataFrame, conf: Config) -> None:
    samples = silver.where(F.col("day") == FIRST)
    found = Earlier(conf, [FIRST], None, None).join(samples, vocabulary).collect()
    assert {row[name] for row in found for name in [*NAMES, DECAYED]} == {None}
    assert {tuple(row["clicked_video_id#"]) for row in found} == {(-1, -1, -1)}


def test_what_the_samples_lack_is_named(silver: DataFrame, load_conf: Callable[..., Config]) -> None:
    for override, message in {
        "statistics=[{by: [user_id, city]}]": r"^statistics by user_id,city: silver/samples has no column city; it has",
        "history={video: {of: [id]}}": r"^video_id: a statistic or history is called like column video_id of silver/",
    }.items():
        fields = "fields={user_id: {side: user, encode: vocabulary}, id: {side: user, encode: vocabulary}}"
        with pytest.raises(DataError, match=message):
            check_earlier(silver, load_conf(fields, override, "net.crosses=[]"))
