"""When the impressions of the synthetic world are: which of them fall on which day, and at what time."""

from datetime import date, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np

from ncs.errors import ConfigError
from ncs.logs.draws import Floats, Ints, uniform

if TYPE_CHECKING:  # workers of Spark start faster without the configuration's machinery
    from ncs.config import Logs

SECOND = 1_000_000  # microseconds
DAY = 86_400 * SECOND
REACH = 3600 * SECOND
"""No event comes later than this after its impression."""

_RUSH = 0.6  # how far the busiest hour (20:00) stands out from the mean, and the quietest


class Schedule:
    """All days' impressions, counted from 0 in order of time. Times are microseconds since 1970 (UTC)."""

    def __init__(self, logs: "Logs") -> None:
        self.seed, self.days = logs.seed, logs.days
        zone = ZoneInfo(logs.timezone)
        self.midnights = np.array([_midnight(day, zone) for day in logs.days.widened(after=1)], np.int64)
        self._first_rows = logs.impressions * np.arange(len(logs.days) + 1) // len(logs.days)

    def rows(self, day: date) -> range:
        """A day's impressions. Raises ConfigError for a day that is none of `logs.days`."""
        nth = self._nth(day)
        return range(self._first_rows[nth], self._first_rows[nth + 1])

    def bounds(self, day: date) -> tuple[int, int]:
        """The midnights that a day lies between."""
        nth = self._nth(day)
        return int(self.midnights[nth]), int(self.midnights[nth + 1])

    def rows_with_events(self, day: date) -> range:
        """The impressions that may have an event on a day: its own, and the latest of the day before."""
        own = self.rows(day)
        before = day - timedelta(days=1)
        if before not in self.days:
            return own
        shown, (start, end) = self.rows(before), self.bounds(before)
        passed = np.interp(1 - REACH / (end - start), *_clock())
        return range(shown.start + int(passed * len(shown)), own.stop)

    def shown_at(self, rows: Ints) -> Ints:
        """The times of impressions: rising within each day, dense in the evening."""
        day = np.searchsorted(self._first_rows, rows, side="right") - 1
        first, midnight = self._first_rows[day], self.midnights[day]
        clock, passed = _clock()
        nth = (rows - first + uniform(self.seed, "ts", rows)) / (self._first_rows[day + 1] - first)
        length = self.midnights[day + 1] - midnight
        return midnight + (np.interp(nth, passed, clock) * length).astype(np.int64)

    def drawn_at(self, day: date, rows: Ints) -> Ints:
        """Times of further impressions of a day, at random, dense when the others are."""
        start, end = self.bounds(day)
        clock, passed = _clock()
        return start + (np.interp(uniform(self.seed, "ts", rows), passed, clock) * (end - start)).astype(np.int64)

    def days_since(self, ts: Ints) -> Floats:
        """Days from the first midnight."""
        return (np.asarray(ts, np.int64) - self.midnights[0]) / DAY

    def _nth(self, day: date) -> int:
        if day not in self.days:
            raise ConfigError(f"{day} is not among the days to generate, {self.days}; see --days, logs.days")
        return (day - self.days.first).days


@cache
def _clock() -> tuple[Floats, Floats]:
    """Shares of a day, and the shares of its impressions that have passed by then."""
    clock = np.linspace(0, 1, 1441)
    peak = 20 / 24
    wave = np.sin(2 * np.pi * (clock - peak)) + np.sin(2 * np.pi * peak)
    return clock, clock + _RUSH / (2 * np.pi) * wave


def _midnight(day: date, zone: ZoneInfo) -> int:
    return round(datetime.combine(day, time(), zone).timestamp()) * SECOND
