"""The folders and days that a day's labels depend on: pure functions of dates, no Spark.

A row has two days: that of its folder, the day on which it was delivered, and its own, the day of its time in the
logs' time zone. Clicks and plays may be delivered late. Windows are lengths of time, so that the days which they reach
are counted from instants: a day of a zone with summer time has 23, 24 or 25 hours.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ncs.config import Labels
from ncs.config import Logs as LogsConfig
from ncs.days import Days

EARLY_DAYS = 1
"""A row's own day may be one later than its folder's: a device's clock is ahead, a batch closes after midnight."""

_MICROSECOND = timedelta(microseconds=1)
Times = Mapping[str, "tuple[datetime, datetime] | None"]
"""Folder day -> the earliest and the latest time of its rows; None where the table's log does not say."""


@dataclass(frozen=True)
class Reach:
    """How far an impression's window reaches, and how late a row may come."""

    timezone: str
    window: timedelta
    late_days: int = 0
    """The number of days after its own day's folder that a click or play may be delivered."""
    redated: bool = False
    """Whether impressions may come late too, and then belong to their own day."""

    @classmethod
    def of(cls, logs: LogsConfig, labels: Labels) -> "Reach":
        """As the configuration has it."""
        return cls(logs.timezone, timedelta(hours=labels.window_hours), labels.late_days, logs.folder_day == "delivery")

    @property
    def days(self) -> int:
        """The window in days of 24 hours, rounded up: within so many days an id does not come again."""
        return math.ceil(self.window / timedelta(days=1))

    @property
    def micros(self) -> int:
        """The window in microseconds."""
        return self.window // _MICROSECOND

    def until(self, day: date) -> date:
        """The last day with an instant that the window of an impression of `day` can reach."""
        return self.local(self._midnight(day + timedelta(days=1)) + self.window - _MICROSECOND)

    def since(self, day: date) -> date:
        """The first day whose impressions' windows, or whose repetitions, can reach `day`."""
        return min(self.local(self._midnight(day) - self.window), day - timedelta(days=self.days))

    def event_days(self, times: Iterable[Times]) -> dict[date, Days | None]:
        """Folder -> the own days of its clicks and plays; None if no row of it has a usable day."""
        by_day: dict[date, Days | None] = {}
        for name, ends in (item for table in times for item in table.items()):
            folder = date.fromisoformat(name)
            usable = Days(folder - timedelta(days=self.late_days), folder + timedelta(days=EARLY_DAYS))
            first, last = (self.local(end) for end in ends) if ends else (usable.first, usable.last)
            first, last = max(first, usable.first), min(last, usable.last)
            if first > last:
                by_day.setdefault(folder, None)
                continue
            other = by_day.get(folder)
            by_day[folder] = Days(min(first, other.first), max(last, other.last)) if other else Days(first, last)
        return by_day

    def folders(self, day: date, event_days: Mapping[date, Days | None]) -> tuple[Days, list[date]]:
        """The folders that a day is labelled from: those of impressions, and those of clicks and plays.

        Of events, its own folder's and all whose rows are of days that the day's windows reach, or that may be
        repeated by rows of its own folder. Of impressions, those that any of these events may belong to, as far back
        and forth as their ids may come again.
        """
        own = event_days.get(day) or Days(day, day)
        first, last = min(day, own.first), max(day, own.last)
        late = self.late_days if self.redated else 0
        shown = Days(self.since(self.since(first)), last + timedelta(days=self.days))
        wanted = Days(first, self.until(day))
        near = wanted.widened(before=EARLY_DAYS, after=self.late_days)
        events = [day]
        events += [
            folder
            for folder, days in event_days.items()
            if folder != day and folder in near and days and days.first <= wanted.last and wanted.first <= days.last
        ]
        return shown.widened(before=EARLY_DAYS if self.redated else 0, after=late), sorted(events)

    def awaited(self, day: date) -> Days:
        """The folders that may bring clicks and plays of a day's impressions."""
        return Days(day, self.until(day)).widened(after=self.late_days)

    def around(self, days: Days) -> Days:
        """All days whose labels may change with the folders of `days`, and some more."""
        reach = self.days + 1  # of a day that is an hour short
        further = 2 * reach + self.late_days + EARLY_DAYS
        return days.widened(before=further, after=further)

    def local(self, instant: datetime) -> date:
        """The day of an instant in the logs' time zone."""
        return instant.astimezone(ZoneInfo(self.timezone)).date()

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), ZoneInfo(self.timezone)).astimezone(UTC)
