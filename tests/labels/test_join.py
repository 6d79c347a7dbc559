"""Every label rule, row by row, on hand-written logs around 9 April."""

import json
from datetime import timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from ncs.days import Days
from ncs.labels.join import Logs, label_days, with_profile
from tests.labels.logs import CLICK, DAY, IMPRESSION, NOON, PLAY, REACH, by_id, click, play, shown


def test_a_watch_is_the_sum_of_its_segments_over_the_length(label: Any) -> None:
    later = NOON + timedelta(minutes=3)
    rows = by_id(label([shown("a")], [click("a")], [play("a", 20.0), play("a", 25.5, later)]).samples)
    assert rows["a"].clicked == 1
    assert rows["a"].watched_seconds == pytest.approx(45.5)
    assert rows["a"].cvr == pytest.approx(0.455)
    assert (rows["a"].age_group, rows["a"].scene, rows["a"].length_seconds) == ("18-24", "home", 100.0)


# One label run for the whole table: what happened to the impression -> clicked, watched_seconds, cvr.
RULES: dict[str, tuple[tuple, list[tuple], list[tuple], tuple]] = {
    "replayed": (shown("replayed"), [click("replayed")], [play("replayed", 250.0)], (1, 250.0, 1.0)),
    "clicked, not played": (shown("clicked, not played"), [click("clicked, not played")], [], (1, 0.0, 0.0)),
    "auto-played": (shown("auto-played"), [], [play("auto-played", 50.0)], (0, 50.0, None)),
    "neither": (shown("neither"), [], [], (0, 0.0, None)),
    "two clicks": (
        shown("two clicks"),
        [click("two clicks"), click("two clicks", NOON + timedelta(seconds=5))],
        [play("two clicks", 10.0)],
        (1, 10.0, 0.1),
    ),
    "segment logged twice": (
        shown("segment logged twice"),
        [click("segment logged twice")],
        [play("segment logged twice", 10.0)] * 2,
        (1, 10.0, 0.1),
    ),
    "null length": (
        shown("null length", video=11),
        [click("null length")],
        [play("null length", 5.0)],
        (1, 5.0, None),
    ),
    "zero length": (
        shown("zero length", video=12),
        [click("zero length")],
        [play("zero length", 5.0)],
        (1, 5.0, None),
    ),
    "NaN length": (
        shown("NaN length", video=13),
        [click("NaN length")],
        [play("NaN length", 5.0)],
        (1, 5.0, None),
    ),
    "unknown video": (shown("unknown video", video=99), [click("unknown video")], [], (1, 0.0, None)),
}


def test_label_rules(label: Any) -> None:
    impressions, clicks, plays, _ = zip(*RULES.values(), strict=True)
    rows = by_id(label(list(impressions), sum(clicks, []), sum(plays, [])).samples)
    found = {key: (row.clicked, row.watched_seconds, row.cvr) for key, row in rows.items()}
    assert found == {key: expected for key, (*_, expected) in RULES.items()}


@pytest.mark.parametrize(("own", "length"), [(50.0, 50.0), (None, 100.0)])
def test_a_length_in_the_impressions_wins_over_the_videos(
    spark: SparkSession, own: float | None, length: float
) -> None:
    logs = Logs(
        spark.createDataFrame([(*shown("a"), own)], IMPRESSION + ", length_seconds double"),
        spark.createDataFrame([click("a")], CLICK),
        spark.createDataFrame([play("a", 10.0)], PLAY),
        spark.createDataFrame([(1, "x")], "user_id long, age_group string"),
        spark.createDataFrame([(10, 100.0)], "video_id long, length_seconds double"),
    )
    row = label_days(logs, Days(DAY, DAY), REACH).samples.first()
    assert row is not None
    assert (row.length_seconds, row.cvr) == (length, pytest.approx(10 / length))
    assert not any(name.startswith("#") for name in row.asDict())


def test_clicks_and_plays_may_have_columns_of_one_name_and_two_types(spark: SparkSession) -> None:
    logs = Logs(
        spark.createDataFrame([shown("a")], IMPRESSION),
        spark.createDataFrame([(*click("a"), "feed"), (*click("x"), "feed")], CLICK + ", source string"),
        spark.createDataFrame([(*play("a", 20.0), 3), (*play("a", -1.0), 4)], PLAY + ", source int"),
        spark.createDataFrame([(1, "x")], "user_id long, age_group string"),
        spark.createDataFrame([(10, 100.0)], "video_id long, length_seconds double"),
    )
    labelled = label_days(logs, Days(DAY, DAY), REACH)
    assert by_id(labelled.samples)["a"].cvr == pytest.approx(0.2)
    assert labelled.outcomes["clicks"].schema["source"].dataType.simpleString() == "string"
    rows = {row.log: json.loads(row.row) for row in labelled.quarantine().collect()}
    assert (rows["clicks"]["source"], rows["plays"]["source"]) == ("feed", 4)
    assert "watched_seconds" not in rows["clicks"]


def test_a_profile_is_that_of_the_impression_s_time(spark: SparkSession) -> None:
    minute = timedelta(minutes=1)
    shown = [("a", 1, NOON), ("b", 1, NOON + minute), ("c", 1, NOON - minute), ("d", 2, NOON), ("e", 3, NOON)]
    rows = spark.createDataFrame(shown, "impression_id string, user_id long, ts timestamp")
    known = [(1, "new", NOON + minute), (1, "old", NOON), (2, "ever", None), (2, "later", NOON + minute)]
    users = spark.createDataFrame(known, "user_id long, plan string, updated_at timestamp")
    found = {row.impression_id: row.plan for row in with_profile(rows, users, "user_id").collect()}
    assert found == {"a": "old", "b": "new", "c": None, "d": "ever", "e": None}
    timeless = with_profile(rows, users.where("plan = 'new'").drop("updated_at"), "user_id")
    assert {row.impression_id: row.plan for row in timeless.collect()}["c"] == "new"
    assert sorted(timeless.columns) == sorted(with_profile(rows, users, "user_id").columns)
