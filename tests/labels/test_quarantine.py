"""Every row has one outcome: what is set aside, for which reason, and that the counts come out even."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from ncs.days import Days
from ncs.errors import DataError, GateError
from ncs.labels.join import Logs, label_days
from ncs.labels.reconciliation import reconcile
from tests.labels.logs import CLICK, DAY, IMPRESSION, NOON, PLAY, REACH, by_id, click, counted, play, reasons, shown

BROKEN: dict[str, tuple[list[tuple], list[tuple], list[tuple], tuple]] = {
    "click without impression": ([], [click("x")], [], ("clicks", "x", "no_impression")),
    "play without impression": ([], [], [play("x", 1.0)], ("plays", "x", "no_impression")),
    "negative watch": ([], [], [play("a", -1.0)], ("plays", "a", "bad_watch")),
    "NaN watch": ([], [], [play("a", float("nan"))], ("plays", "a", "bad_watch")),
    "infinite watch": ([], [], [play("a", float("inf"))], ("plays", "a", "bad_watch")),
    "null watch": ([], [], [play("a", None)], ("plays", "a", "bad_watch")),
    "click before": ([], [click("a", NOON - timedelta(seconds=1))], [], ("clicks", "a", "before_impression")),
    "play before": (
        [],
        [],
        [play("a", 1.0, NOON - timedelta(seconds=1))],
        ("plays", "a", "before_impression"),
    ),
    "impression of another day": (
        [shown("y", datetime(2022, 4, 8), day=DAY)],
        [],
        [],
        ("impressions", "y", "wrong_day"),
    ),
    "click of another day": (
        [],
        [click("a", datetime(2022, 4, 11), day=DAY)],
        [],
        ("clicks", "a", "wrong_day"),
    ),
    "impression without user": ([shown("z", user=None)], [], [], ("impressions", "z", "null_key")),
    "impression without id": ([shown(None)], [], [], ("impressions", None, "null_key")),
    "click without id": ([], [click(None)], [], ("clicks", None, "null_key")),
}


def test_broken_rows_are_quarantined_with_their_reason(label: Any) -> None:
    impressions, clicks, plays, expected = zip(*BROKEN.values(), strict=True)
    labelled = label(
        [shown("a"), *sum(impressions, [])],
        [click("a"), *sum(clicks, [])],
        [play("a", 30.0), *sum(plays, [])],
    )
    assert reasons(labelled) == set(expected)
    rows = by_id(labelled.samples)
    assert set(rows) == {"a"}
    assert (rows["a"].clicked, rows["a"].cvr) == (1, pytest.approx(0.3))


def test_the_quarantine_holds_the_raw_row_as_json(label: Any) -> None:
    row = label([shown("a")], [click("a")], [play("a", -1.5)]).quarantine().collect()[0]
    assert json.loads(row.row) == {
        "impression_id": "a",
        "ts": "2022-04-09T12:00:00.000Z",
        "watched_seconds": -1.5,
    }
    assert (row.day, row.log) == (DAY, "plays")


def test_the_account_balances_and_names_where_rows_went(label: Any) -> None:
    labelled = label(
        [shown("a"), shown("a"), shown("b", video=12), shown(None)],
        [click("a"), click("b"), click("x")],
        [play("a", 30.0), play("a", 30.0), play("a", -1.0)],
    )
    reconciled = reconcile(labelled, counted(impressions=4, clicks=3, plays=3), [DAY])[DAY]
    assert (reconciled.samples, reconciled.clicked, reconciled.unlabelled) == (2, 2, 1)
    impressions, clicks, plays = (reconciled.logs[name] for name in ("impressions", "clicks", "plays"))
    assert (impressions.kept, impressions.duplicates, impressions.quarantined) == (2, 1, {"null_key": 1})
    assert (clicks.kept, clicks.duplicates, clicks.quarantined) == (2, 0, {"no_impression": 1})
    assert (plays.kept, plays.duplicates, plays.quarantined) == (1, 1, {"bad_watch": 1})


def test_a_lost_row_is_found(label: Any) -> None:
    labelled = label([shown("a")], [click("a")], [])
    with pytest.raises(DataError, match=r"bronze/clicks on 2022-04-09 does not reconcile.*leaves 1 rows over"):
        reconcile(labelled, counted(impressions=1, clicks=2, plays=0), [DAY])


def test_a_day_without_clicks_is_refused(label: Any) -> None:
    reconciled = reconcile(label([shown("a")], [], []), counted(impressions=1, clicks=0, plays=0), [DAY])[DAY]
    with pytest.raises(GateError, match=r"2022-04-09: no click of bronze/clicks belongs to one of its impressions"):
        reconciled.check_usable(DAY, {})


def test_a_video_that_stands_twice_is_refused(spark: SparkSession) -> None:
    logs = Logs(
        spark.createDataFrame([shown("a")], IMPRESSION),
        spark.createDataFrame([click("a")], CLICK),
        spark.createDataFrame([], PLAY),
        spark.createDataFrame([(1, "x")], "user_id long, age_group string"),
        spark.createDataFrame([(10, 100.0), (10, 90.0)], "video_id long, length_seconds double"),
    )
    labelled = label_days(logs, Days(DAY, DAY), REACH)
    with pytest.raises(DataError, match="holds a key twice"):
        reconcile(labelled, counted(impressions=1, clicks=1, plays=0), [DAY])
