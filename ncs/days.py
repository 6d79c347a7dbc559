"""Calendar days and ranges of them, as the logs' folders and the tables' partitions name them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from ncs.errors import ConfigError

FIRST_YEAR, LAST_YEAR, LONGEST = 1990, 2100, 3660
"""Years that logs can be of, and the most days of a range: what is beyond them is a mistyped year."""
_RANGE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\.\.(\d{4}-\d{2}-\d{2}))?")


@dataclass(frozen=True)
class Days:
    """All days from `first` to `last`, both included; in text `2022-04-08..2022-04-16` or one day alone."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise ConfigError(f"a range of days runs forward; {self} ends before it starts")

    @classmethod
    def parse(cls, text: str) -> "Days":
        """Read `YYYY-MM-DD` or `YYYY-MM-DD..YYYY-MM-DD`; anything else is a ConfigError."""
        match = _RANGE.fullmatch(text.strip()) if isinstance(text, str) else None
        try:
            if match:
                first = date.fromisoformat(match[1])
                return cls(first, date.fromisoformat(match[2]) if match[2] else first)._checked()
        except ValueError:
            pass
        raise ConfigError(f"{text!r} is no range of days; write 2022-04-08..2022-04-16, or one day")

    def _checked(self) -> "Days":
        """Itself. Raises ConfigError if a year is mistyped."""
        for day in (self.first, self.last):
            if not FIRST_YEAR <= day.year <= LAST_YEAR:
                raise ConfigError(f"{self}: the year {day.year} is not within {FIRST_YEAR} and {LAST_YEAR}")
        if len(self) > LONGEST:
            raise ConfigError(f"{self}: a range of {len(self):,} days, {LONGEST:,} are the most; is a year mistyped?")
        return self

    def __iter__(self) -> Iterator[date]:
        return (self.first + timedelta(days=n) for n in range(len(self)))

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}..{self.last}"

    def split(self, last: int) -> tuple["Days", "Days"]:
        """Part the range into all but the `last` days, and those."""
        cut = self.last - timedelta(days=last)
        return Days(self.first, cut), Days(cut + timedelta(days=1), self.last)

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
        """The range with so many days more at its ends."""
        return Days(self.first - timedelta(days=before), self.last + timedelta(days=after))
