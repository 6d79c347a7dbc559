"""Calendar days and ranges of them, as the logs' folders and the tables' partitions name them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from ncs.errors import ConfigError

FIRST_YEAR, LAST_YEAR, LONGEST = 1990, 2100, 3660
"""Years that logs can be of, and the most days of a range: what is beyond them is a mistyped year."""
_RANGE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:(\.\.)(\d{4}-\d{2}-\d{2})?)?")
_EVER = date(LAST_YEAR, 12, 31)
"""The last day of a range without an end."""


@dataclass(frozen=True)
class Days:
    """All days from `first` to `last`, both included, but those that are left out.

    In text `2022-04-08..2022-04-16`, one day alone, or several of both with commas between. `2022-04-08..` has no end:
    it becomes the days that there are (`ncs.lake.windows.close_days`) before anything counts or lists them.
    """

    first: date
    last: date
    without: frozenset[date] = frozenset()
    """Days between the first and the last."""

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ConfigError(f"a range of days runs forward; {self} ends before it starts")

    @classmethod
    def parse(cls, text: str) -> "Days":
        """Read `YYYY-MM-DD`, `YYYY-MM-DD..YYYY-MM-DD`, `YYYY-MM-DD..` or a list; anything else is a ConfigError."""
        ranges = [cls._parse(piece, text) for piece in str(text).split(",")]
        if len(ranges) == 1:
            return ranges[0]
        if any(piece.is_open for piece in ranges):
            raise ConfigError(f"{text!r} is no list of days; a range without an end stands alone, 2022-04-08..")
        return cls.of(day for piece in ranges for day in piece)

    @classmethod
    def _parse(cls, text: str, whole: object) -> "Days":
        """One range; `whole` is what it stands in."""
        match = _RANGE.fullmatch(text.strip())
        try:
            if match:
                first = date.fromisoformat(match[1])
                last = date.fromisoformat(match[3]) if match[3] else _EVER if match[2] else first
                return cls(first, last)._checked()
        except ValueError:
            pass
        raise ConfigError(f"{whole!r} is no range of days; write 2022-04-08..2022-04-16, or one day")

    @classmethod
    def of(cls, days: Iterable[date]) -> "Days":
        """Exactly these days, of which there is at least one."""
        there = set(days)
        first, last = min(there), max(there)
        return cls(first, last, frozenset(cls(first, last)) - there)._checked()

    def _checked(self) -> "Days":
        """Itself. Raises ConfigError if a year is mistyped."""
        for day in (self.first, self.last):
            if not FIRST_YEAR <= day.year <= LAST_YEAR:
                raise ConfigError(f"{self}: the year {day.year} is not within {FIRST_YEAR} and {LAST_YEAR}")
        if len(self) > LONGEST and not self.is_open:
            raise ConfigError(f"{self}: a range of {len(self):,} days, {LONGEST:,} are the most; is a year mistyped?")
        return self

    @property
    def is_open(self) -> bool:
        """Whether the range has no end."""
        return self.last == _EVER

    def __iter__(self) -> Iterator[date]:
        span = (self.last - self.first).days + 1
        days = (self.first + timedelta(days=n) for n in range(span))
        return (day for day in days if day not in self.without)

    def __len__(self) -> int:
        return (self.last - self.first).days + 1 - len(self.without)

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last and day not in self.without

    def __str__(self) -> str:
        if self.without:
            return self.text(self)
        if self.is_open:
            return f"{self.first}.."
        return f"{self.first}" if self.first == self.last else f"{self.first}..{self.last}"

    def split(self, last: int) -> tuple["Days", "Days"]:
        """Split the range into all but the `last` days, and those."""
        if not self.without:
            cut = self.last - timedelta(days=last)
            return Days(self.first, cut), Days(cut + timedelta(days=1), self.last)
        days = list(self)
        return Days.of(days[:-last]), Days.of(days[-last:])

    @staticmethod
    def runs(days: Iterable[date], longest: int) -> "list[Days]":
        """Parts of consecutive days, each of at most `longest`, in order."""
        runs: list[Days] = []
        for day in sorted(days):
            if runs and runs[-1].last + timedelta(days=1) == day and len(runs[-1]) < longest:
                runs[-1] = Days(runs[-1].first, day)
            else:
                runs.append(Days(day, day))
        return runs

    @staticmethod
    def text(days: Iterable[date]) -> str:
        """Days as one text, those that follow each other as ranges."""
        days = list(days)
        return ", ".join(map(str, Days.runs(days, len(days))))

    def widened(self, before: int = 0, after: int = 0) -> "Days":
        """The whole range, with so many days more at its ends."""
        return Days(self.first - timedelta(days=before), self.last + timedelta(days=after))
