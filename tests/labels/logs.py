"""Hand-written logs around 9 April, and what is read off labelled ones."""

from datetime import date, datetime, timedelta

from pyspark.sql import DataFrame, Row

from ncs.labels.join import Labelled
from ncs.labels.reach import Reach

DAY = date(2022, 4, 9)
REACH = Reach("UTC", timedelta(hours=24), late_days=1)
NOON = datetime(2022, 4, 9, 12)
IMPRESSION = "impression_id string, user_id long, video_id long, ts timestamp, position int, scene string, day date"
CLICK = "impression_id string, ts timestamp, day date"
PLAY = "impression_id string, ts timestamp, watched_seconds double, day date"
BERLIN = "Europe/Berlin"
SHORT = datetime(2026, 3, 28, 22, 30)  # UTC: half an hour before the day of 23 hours begins


def shown(
    key: str | None, ts: datetime = NOON, user: int | None = 1, video: int = 10, day: date | None = None
) -> tuple:
    return key, user, video, ts, 0, "home", day or ts.date()


def click(key: str | None, ts: datetime = NOON, day: date | None = None) -> tuple:
    return key, ts, day or ts.date()


def play(key: str | None, seconds: float | None, ts: datetime = NOON, day: date | None = None) -> tuple:
    return key, ts, seconds, day or ts.date()


def counted(**rows: int) -> dict[str, dict[date, int]]:
    return {log: {DAY: count} for log, count in rows.items()}


def by_id(samples: DataFrame) -> dict[str, Row]:
    rows = samples.collect()
    assert len({row.impression_id for row in rows}) == len(rows)
    return {row.impression_id: row for row in rows}


def reasons(labelled: Labelled) -> set[tuple[str, str | None, str]]:
    return {(row.log, row.impression_id, row.reason) for row in labelled.quarantine().collect()}
