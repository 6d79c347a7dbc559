"""Windows, folders and days: which events count for an impression by their time, late ones and time zones included."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from ncs.days import Days
from ncs.labels.join import Labelled, Logs, label_days
from ncs.labels.reach import Reach
from ncs.labels.reconciliation import reconcile
from tests.labels.logs import (
    BERLIN,
    CLICK,
    DAY,
    IMPRESSION,
    NOON,
    PLAY,
    REACH,
    SHORT,
    by_id,
    click,
    play,
    reasons,
    shown,
)


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


def test_the_day_ends_at_midnight_of_the_logs_time_zone(label: Any) -> None:
    evening = datetime(2022, 4, 8, 18)  # 02:00 of 9 April in Shanghai
    labelled = label([shown("a", evening, day=DAY)], [click("a", evening, day=DAY)], [], timezone="Asia/Shanghai")
    assert by_id(labelled.samples)["a"].clicked == 1


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
