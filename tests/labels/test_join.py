"""Every label rule, row by row, on hand-written logs around 9 April."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from ncs.days import Days
from ncs.errors import DataError, GateError
from ncs.labels.join import Labelled, Logs, label_days, with_profile
from ncs.labels.reach import Reach
from ncs.labels.reconciliation import examples, reconcile

DAY = date(2022, 4, 9)
REACH = Reach("UTC", timedelta(hours=24), late_days=1)
NOON = datetime(2022, 4, 9, 12)
IMPRESSION = "impression_id string, user_id long, video_id long, ts timestamp, position int, scene string, day date"
CLICK = "impression_id string, ts timestamp, day date"
PLAY = "impression_id string, ts timestamp, watched_seconds double, day date"


def shown(
    key: str | None, ts: datetime = NOON, user: int | None = 1, video: int = 10, day: date | None = None
) -> tuple:
    return key, user, video, ts, 0, "home", day or ts.date()


def click(key: str | None, ts: datetime = NOON, day: date | None = None) -> tuple:
    return key, ts, day or ts.date()


def play(key: str | None, seconds: float | None, ts: datetime = NOON, day: date | None = None) -> tuple:
    return key, ts, seconds, day or ts.date()


@pytest.fixture
def label(spark: SparkSession) -> Any:
    def run(
        impressions: list[tuple],
        clicks: list[tuple],
        plays: list[tuple],
        hours: float = 24,
        timezone: str = "UTC",
        days: Days | None = None,
        late_days: int = 1,
        redated: bool = False,
    ) -> Labelled:
        logs = Logs(
            spark.createDataFrame(impressions, IMPRESSION),
            spark.createDataFrame(clicks, CLICK),
            spark.createDataFrame(plays, PLAY),
            spark.createDataFrame([(1, "18-24")], "user_id long, age_group string"),
            spark.createDataFrame(
                [(10, 100.0), (11, None), (12, 0.0), (13, float("nan"))],
                "video_id long, length_seconds double",
            ),
        )
        return label_days(logs, days or Days(DAY, DAY), Reach(timezone, timedelta(hours=hours), late_days, redated))

    return run


def counted(**rows: int) -> dict[str, dict[date, int]]:
    return {log: {DAY: count} for log, count in rows.items()}


def by_id(samples: DataFrame) -> dict[str, Row]:
    rows = samples.collect()
    assert len({row.impression_id for row in rows}) == len(rows)
    return {row.impression_id: row for row in rows}


def reasons(labelled: Labelled) -> set[tuple[str, str | None, str]]:
    return {(row.log, row.impression_id, row.reason) for row in labelled.quarantine().collect()}


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


def test_the_window_ends_at_its_last_instant_and_reaches_into_the_next_day(label: Any) -> None:
    end = NOON + timedelta(hours=24)
    late = end + timedelta(microseconds=1)
    labelled = label(
        [shown("in"), shown("out")],
        [click("in", end), click("out", late)],
        [play("in", 10.0, end), play("out", 9.0, late)],
    )
    rows = by_id(labelled.samples)
    assert (rows["in"].clicked, rows["in"].cvr) == (1, pytest.approx(0.1))
    assert (rows["out"].clicked, rows["out"].watched_seconds) == (0, 0.0)
    assert reasons(labelled) == set(), "events of the next day's folder are counted with that day"


def test_a_shorter_window_sets_late_events_aside(label: Any) -> None:
    labelled = label([shown("a")], [click("a", NOON + timedelta(hours=2))], [], hours=1)
    assert by_id(labelled.samples)["a"].clicked == 0
    assert reasons(labelled) == {("clicks", "a", "after_window")}


def test_events_of_the_day_before_are_accounted_but_label_no_sample_of_the_day(label: Any) -> None:
    before = datetime(2022, 4, 8, 23)
    labelled = label([shown("old", before), shown("a")], [click("old"), click("a")], [])
    assert set(by_id(labelled.samples)) == {"a"}
    assert reasons(labelled) == set()


def test_the_earliest_of_repeated_impressions_is_kept(label: Any) -> None:
    first = NOON - timedelta(hours=1)
    labelled = label([shown("a"), shown("a", first), shown("a", first)], [click("a")], [])
    assert by_id(labelled.samples)["a"].ts == first
    outcomes = sorted(row.outcome for row in labelled.outcomes["impressions"].collect())
    assert outcomes == ["duplicate", "duplicate", "kept"]


def also(key: str, hours: float = 0, **changes: Any) -> tuple:
    """Another row of an id, so many hours after noon."""
    return shown(key, NOON + timedelta(hours=hours), **changes)


# Beside a row of user 1 and video 10 at noon: further rows of the id, and what becomes of those of the day's folder.
CONFLICTS: dict[str, tuple[list[tuple], list[str]]] = {
    "another video": ([also("another video", video=11)], ["id_conflict"] * 2),
    "another user": ([also("another user", user=2)], ["id_conflict"] * 2),
    "beside one that agrees": (
        [also("beside one that agrees", 1), also("beside one that agrees", 2, video=11)],
        ["id_conflict"] * 3,
    ),
    "on the next day": ([also("on the next day", 24, video=11)], ["id_conflict"]),
    "on the day before": ([also("on the day before", -24, video=11)], ["id_conflict"]),
    "beyond the window's days": ([also("beyond the window's days", 48, video=11)], ["kept"]),
    "without a user": ([also("without a user", user=None)], ["kept", "null_key"]),
    "in the wrong folder": ([also("in the wrong folder", -24, video=11, day=DAY)], ["kept", "wrong_day"]),
}


def test_an_id_of_several_users_or_videos_is_kept_for_none(label: Any) -> None:
    others = sum((rows for rows, _ in CONFLICTS.values()), [])
    labelled = label(
        [*map(shown, CONFLICTS), *others], [*map(click, CONFLICTS)], [play(key, 10.0) for key in CONFLICTS]
    )
    outcomes: dict[str, list[str]] = {key: [] for key in CONFLICTS}
    for row in labelled.outcomes["impressions"].collect():
        outcomes[row.impression_id].append(row.outcome)
    assert {key: sorted(found) for key, found in outcomes.items()} == {
        key: found for key, (_, found) in CONFLICTS.items()
    }
    kept = {key for key, found in outcomes.items() if "kept" in found}
    assert set(by_id(labelled.samples)) == kept
    of_events = {found for found in reasons(labelled) if found[0] != "impressions"}
    assert of_events == {(log, key, "id_conflict") for log in ("clicks", "plays") for key in set(CONFLICTS) - kept}


def test_a_slate_under_one_id_is_named_with_an_example(label: Any) -> None:
    labelled = label([shown(f"s\n{n // 3}", video=10 + n % 3) for n in range(6)], [click("s\n0")], [])
    reconciled = reconcile(labelled, counted(impressions=6, clicks=1, plays=0), [DAY])[DAY]
    with pytest.raises(GateError, match=r"6 quarantined \(id_conflict 6\).*for example 's\\n0': column impression_id"):
        reconciled.check_usable(DAY, examples(labelled)[DAY])


# Hours from an impression of noon to its click and play, how many days after the impression's they were delivered,
# what becomes of them with a lateness of one day and of two (None: they label the impression).
LATE: dict[str, tuple[float, int, str | None, str | None]] = {
    "in time": (1, 0, None, None),
    "a day late": (1, 1, None, None),
    "of the next day, a day late": (20, 2, None, None),
    "a day early": (20, 0, None, None),
    "two days late": (1, 2, "wrong_day", None),
    "three days late": (1, 3, "wrong_day", "wrong_day"),
    "after the window, a day late": (25, 2, "after_window", "after_window"),
}


@pytest.mark.parametrize("late_days", [1, 2])
def test_events_count_by_their_time_whatever_folder_they_came_in(label: Any, late_days: int) -> None:
    clicks, plays, expected = [], [], {}
    for key, (hours, folders, *outcomes) in LATE.items():
        at, folder = NOON + timedelta(hours=hours), DAY + timedelta(days=folders)
        clicks.append(click(key, at, day=folder))
        plays.append(play(key, 40.0, at, day=folder))
        expected[key] = outcomes[late_days - 1]
    labelled = label([*map(shown, LATE)], clicks, plays, late_days=late_days, days=Days(DAY, DAY + timedelta(days=3)))
    found = {key: (row.clicked, row.watched_seconds) for key, row in by_id(labelled.samples).items()}
    assert found == {key: (0, 0.0) if reason else (1, 40.0) for key, reason in expected.items()}
    assert reasons(labelled) == {
        (log, key, reason) for log in ("clicks", "plays") for key, reason in expected.items() if reason
    }


def test_an_event_that_is_delivered_again_counts_once(label: Any) -> None:
    """In the next day's folder, or already in one that is too early."""
    segment = play("a", 30.0)
    again = [play("a", 30.0, day=date(2022, 4, day)) for day in (7, 10)]
    labelled = label([shown("a")], [click("a")], [segment, *again], days=Days(date(2022, 4, 7), date(2022, 4, 10)))
    assert by_id(labelled.samples)["a"].watched_seconds == 30.0
    found = {(row.day.day, row.outcome) for row in labelled.outcomes["plays"].collect()}
    assert found == {(7, "wrong_day"), (9, "kept"), (10, "duplicate")}


def test_impressions_that_come_late_belong_to_their_own_day_if_so_configured(label: Any) -> None:
    late, folder = shown("late", NOON, day=date(2022, 4, 10)), Days(DAY, date(2022, 4, 10))
    rows = [
        shown("a"),
        late,
        shown("b", NOON + timedelta(days=1)),
        shown("too late", NOON - timedelta(days=1), day=date(2022, 4, 10)),
    ]
    clicks = [click("late"), click("a"), click("b", NOON + timedelta(days=1))]
    strict = label(rows, clicks, [], days=folder)
    assert {("impressions", "late", "wrong_day"), ("clicks", "late", "no_impression")} < reasons(strict)
    redated = label(rows, clicks, [], days=folder, redated=True)
    assert {key: row.day for key, row in by_id(redated.samples).items()} == {
        "a": DAY,
        "late": DAY,
        "b": date(2022, 4, 10),
    }
    assert reasons(redated) == {("impressions", "too late", "wrong_day")}
    counts = {
        "impressions": {folder.first: 1, folder.last: 3},
        "clicks": {folder.first: 2, folder.last: 1},
        "plays": {},
    }
    reconciled_days = reconcile(redated, counts, folder)
    assert [reconciled_days[day].samples for day in folder] == [2, 1]
    assert [reconciled_days[day].logs["impressions"].kept for day in folder] == [1, 2]
    (alone,) = reconcile(label(rows, clicks, [], redated=True), counts, [DAY]).values()
    assert alone.samples == 2


BERLIN = "Europe/Berlin"
SHORT = datetime(2026, 3, 28, 22, 30)  # UTC: half an hour before the day of 23 hours begins
LONG = datetime(2026, 10, 24, 22, 5)  # five minutes into the day of 25 hours
SUMMER_TIME: dict[str, tuple[datetime, float, str | None]] = {
    "over a day of 23 hours": (SHORT, 23.7, None),
    "to the window's last instant": (SHORT, 24, None),
    "past it": (SHORT, 24 + 1e-6, "after_window"),
    "within a day of 25 hours": (LONG, 24, None),
    "past the window in a day of 25 hours": (LONG, 24.5, "after_window"),
    "to the last hour of a day of 25 hours": (LONG - timedelta(minutes=6), 24, None),
}


def test_a_window_is_as_long_over_days_that_are_not(label: Any) -> None:
    reach = Reach(BERLIN, timedelta(hours=24))
    impressions, clicks, plays = [], [], []
    for key, (at, hours, _) in SUMMER_TIME.items():
        later = at + timedelta(hours=hours)
        own, event_day = (reach.local(instant.replace(tzinfo=UTC)) for instant in (at, later))
        impressions.append(shown(key, at, day=own))
        clicks.append(click(key, later, day=event_day))
        plays.append(play(key, 50.0, later, day=event_day))
    days = Days(date(2026, 3, 28), date(2026, 10, 26))
    labelled = label(impressions, clicks, plays, timezone=BERLIN, days=days, late_days=0)
    found = {key: (row.clicked, row.watched_seconds) for key, row in by_id(labelled.samples).items()}
    assert found == {key: (0, 0.0) if reason else (1, 50.0) for key, (*_, reason) in SUMMER_TIME.items()}
    assert reasons(labelled) == {
        (log, key, reason) for log in ("clicks", "plays") for key, (*_, reason) in SUMMER_TIME.items() if reason
    }


def test_an_id_that_comes_again_after_a_short_day_doubles_nothing(label: Any) -> None:
    again = datetime(2026, 3, 30, 10)
    rows = [shown("a", SHORT, day=date(2026, 3, 28)), shown("a", again), shown("b", again)]
    days = Days(date(2026, 3, 28), date(2026, 3, 30))
    labelled = label(rows, [click("a", again)], [], timezone=BERLIN, days=days)
    assert labelled.outcomes["clicks"].count() == 1
    assert set(by_id(labelled.samples)) == {"a", "b"}


def test_an_impression_of_the_day_before_wins_over_its_repetition(label: Any) -> None:
    labelled = label([shown("a", datetime(2022, 4, 8, 23)), shown("a"), shown("b")], [click("b")], [])
    assert set(by_id(labelled.samples)) == {"b"}


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


def test_the_day_ends_at_midnight_of_the_logs_time_zone(label: Any) -> None:
    evening = datetime(2022, 4, 8, 18)  # 02:00 of 9 April in Shanghai
    labelled = label([shown("a", evening, day=DAY)], [click("a", evening, day=DAY)], [], timezone="Asia/Shanghai")
    assert by_id(labelled.samples)["a"].clicked == 1


def test_a_length_in_the_impressions_wins_over_the_videos(spark: SparkSession) -> None:
    logs = Logs(
        spark.createDataFrame([(*shown("a"), 50.0)], IMPRESSION + ", length_seconds double"),
        spark.createDataFrame([click("a")], CLICK),
        spark.createDataFrame([play("a", 10.0)], PLAY),
        spark.createDataFrame([(1, "x")], "user_id long, age_group string"),
        spark.createDataFrame([(10, 100.0)], "video_id long, length_seconds double"),
    )
    row = label_days(logs, Days(DAY, DAY), REACH).samples.first()
    assert row is not None
    assert (row.length_seconds, row.cvr) == (50.0, pytest.approx(0.2))


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


def test_what_a_day_becomes_does_not_depend_on_the_days_beside_it(spark: SparkSession) -> None:
    """Three days at once are the three days one by one, ids that come again and late events included."""
    days = Days(date(2022, 4, 9), date(2022, 4, 11))
    at = [datetime(2022, 4, day, 23, 30) for day in range(7, 13)]
    impressions = [shown("again", ts) for ts in (at[0], at[1], at[4])] + [shown(f"i{n}", ts) for n, ts in enumerate(at)]
    late = [ts + timedelta(hours=2) for ts in at]
    clicks = [click(f"i{n}", ts) for n, ts in enumerate(late)] + [
        click("again", ts) for ts in (late[0], late[1], late[4])
    ]
    clicks += [click("i1", late[3])]
    plays = [play(f"i{n}", 10.0 + n, ts) for n, ts in enumerate(late)]
    plays += [play(f"i{n}", 1.0, ts, day=ts.date() + timedelta(days=1)) for n, ts in enumerate(at) if n < 5]  # late
    plays += [play("i2", 1.0, at[2])]  # delivered twice, in two folders
    plays += [play("i3", 2.0, late[3], day=date(2022, 4, 10))]  # early
    frames = [
        spark.createDataFrame(impressions, IMPRESSION).persist(),
        spark.createDataFrame(clicks, CLICK).persist(),
        spark.createDataFrame(plays, PLAY).persist(),
        spark.createDataFrame([(1, "x")], "user_id long, age_group string"),
        spark.createDataFrame([(10, 100.0)], "video_id long, length_seconds double"),
    ]

    own_days: dict[date, Days | None] = {}
    for *_, ts, _, day in plays:
        known = own_days.get(day) or Days(day, day)
        own_days[day] = Days(min(known.first, ts.date()), max(known.last, ts.date()))

    def labelled(days: Days) -> Labelled:
        needed = [REACH.folders(day, own_days) for day in days]
        shown_on = {day for folders, _ in needed for day in folders}
        events_on = {day for _, folders in needed for day in folders}
        around = [
            rows.where(F.col("day").isin(*days))
            for rows, days in zip(frames[:3], (shown_on, events_on, events_on), strict=True)
        ]
        return label_days(Logs(*around, *frames[3:]), days, REACH)

    whole = labelled(days)
    for day in days:
        alone = labelled(Days(day, day))
        on_day = F.col("day") == day
        assert sorted(whole.samples.where(on_day).collect()) == sorted(alone.samples.collect())
        assert sorted(whole.quarantine().where(on_day).collect()) == sorted(alone.quarantine().collect())
    rows = {(row.impression_id, row.day.day): row for row in whole.samples.collect()}
    assert set(rows) == {("i2", 9), ("i3", 10), ("again", 11), ("i4", 11)}
    assert rows["i3", 10].watched_seconds == 13.0 + 1.0 + 2.0
    assert rows["i2", 9].watched_seconds == 12.0 + 1.0
    assert rows["again", 11].clicked == 1


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
