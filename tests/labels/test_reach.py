"""Which folders a day is labelled from, by instants of the logs' time zone."""

from datetime import UTC, date, datetime, timedelta

import pytest

from ncs.days import Days
from ncs.labels.reach import Reach

UTC_DAY = Reach("UTC", timedelta(hours=24), late_days=1)
BERLIN = Reach("Europe/Berlin", timedelta(hours=24))
NINTH = date(2022, 4, 9)


def days(text: str) -> Days:
    return Days.parse(text)


def at(day: str, time: str = "12:00") -> datetime:
    return datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("reach", "day", "since", "until"),
    [
        (UTC_DAY, "2022-04-09", "2022-04-08", "2022-04-10"),
        (Reach("UTC", timedelta(hours=1)), "2022-04-09", "2022-04-08", "2022-04-10"),
        (Reach("UTC", timedelta(hours=36)), "2022-04-09", "2022-04-07", "2022-04-11"),
        (BERLIN, "2026-03-28", "2026-03-27", "2026-03-30"),  # over the 29th, of 23 hours
        (BERLIN, "2026-03-30", "2026-03-28", "2026-03-31"),
        (BERLIN, "2026-10-24", "2026-10-23", "2026-10-25"),  # the 25th has 25 hours
        (BERLIN, "2026-10-26", "2026-10-25", "2026-10-27"),
    ],
)
def test_a_window_reaches_days_by_their_instants(reach: Reach, day: str, since: str, until: str) -> None:
    own = date.fromisoformat(day)
    assert (str(reach.since(own)), str(reach.until(own))) == (since, until)


def test_clean_logs_are_labelled_from_the_folders_that_the_window_reaches() -> None:
    own = {day: Days(day, day) for day in days("2022-04-06..2022-04-12")}
    shown, events = UTC_DAY.folders(NINTH, own)
    assert (str(shown), Days.text(events)) == ("2022-04-07..2022-04-10", "2022-04-09..2022-04-10")
    assert str(UTC_DAY.awaited(NINTH)) == "2022-04-09..2022-04-11"


def test_folders_with_late_or_early_events_join() -> None:
    own = {day: Days(day, day) for day in days("2022-04-06..2022-04-12")}
    own[date(2022, 4, 11)] = days("2022-04-10..2022-04-11")
    own[date(2022, 4, 8)] = days("2022-04-08..2022-04-09")
    shown, events = UTC_DAY.folders(NINTH, own)
    assert (str(shown), Days.text(events)) == ("2022-04-07..2022-04-10", "2022-04-08..2022-04-11")
    own[NINTH] = days("2022-04-08..2022-04-09")  # its late rows may repeat the day before's, and belong to days before
    shown, events = UTC_DAY.folders(NINTH, own)
    assert (str(shown), Days.text(events)) == ("2022-04-06..2022-04-10", "2022-04-08..2022-04-11")


def test_impressions_that_may_come_late_are_looked_for_in_later_folders() -> None:
    shown, _ = Reach("UTC", timedelta(hours=24), late_days=2, redated=True).folders(NINTH, {})
    assert str(shown) == "2022-04-06..2022-04-12"


def test_own_days_of_events_are_those_near_their_folder() -> None:
    found = UTC_DAY.event_days(
        [
            {
                "2022-04-08": (at("2022-04-08"), at("2022-04-08", "23:59")),
                "2022-04-09": (at("1970-01-01"), at("2022-04-09")),
                "2022-04-10": None,
                "2022-04-11": (at("1970-01-01"), at("1970-01-02")),
            },
            {"2022-04-08": (at("2022-04-07"), at("2022-04-08"))},
        ]
    )
    assert {str(day): found and str(found) for day, found in found.items()} == {
        "2022-04-08": "2022-04-07..2022-04-08",
        "2022-04-09": "2022-04-08..2022-04-09",
        "2022-04-10": "2022-04-09..2022-04-11",
        "2022-04-11": None,
    }
