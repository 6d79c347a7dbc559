"""Ids that come again, ids of several users or videos, events that are delivered again: what is counted once."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from ncs.days import Days
from ncs.errors import GateError
from ncs.labels.reconciliation import examples, reconcile
from tests.labels.logs import BERLIN, DAY, NOON, SHORT, by_id, click, counted, play, reasons, shown


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


def test_an_event_that_is_delivered_again_counts_once(label: Any) -> None:
    """In the next day's folder, or already in one that is too early."""
    segment = play("a", 30.0)
    again = [play("a", 30.0, day=date(2022, 4, day)) for day in (7, 10)]
    labelled = label([shown("a")], [click("a")], [segment, *again], days=Days(date(2022, 4, 7), date(2022, 4, 10)))
    assert by_id(labelled.samples)["a"].watched_seconds == 30.0
    found = {(row.day.day, row.outcome) for row in labelled.outcomes["plays"].collect()}
    assert found == {(7, "wrong_day"), (9, "kept"), (10, "duplicate")}


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
