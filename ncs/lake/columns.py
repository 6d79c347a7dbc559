"""The declaration of a column, and the columns that several tables have; it imports neither Spark nor torch."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple, get_args, get_type_hints

from ncs.metrics import METRICS


class Nulls(StrEnum):
    """What is done about a row without a value in a column."""

    ALLOWED = "allowed"
    CHECKED = "checked"
    """Data validation fails."""
    REFUSED = "refused"
    """Delta refuses the row too (NOT NULL)."""


class Between(NamedTuple):
    """Bounds of a column's values, both included. `check` names Delta's constraint."""

    check: str
    low: float
    high: float | None = None
    """None: there is none."""
    ends_fail: bool = False
    """Whether data validation, unlike Delta, fails on the bounds themselves."""

    def condition(self, column: str) -> str:
        """What is true of every value, as SQL."""
        return f"{column} >= {self.low}" if self.high is None else f"{column} BETWEEN {self.low} AND {self.high}"


class OneOf(NamedTuple):
    """The values that a column may have. `check` names Delta's constraint."""

    check: str
    values: tuple[Any, ...]

    def condition(self, column: str) -> str:
        """What is true of every value, as SQL."""
        return f"{column} IN ({', '.join(map(repr, self.values))})"


class Column(NamedTuple):
    """A column: its type as Delta names it, what it says, and what is true of each of its values."""

    type: str
    comment: str
    nulls: Nulls = Nulls.ALLOWED
    values: Between | OneOf | None = None

    @property
    def required(self) -> "Column":
        """The same, never null."""
        return self._replace(nulls=Nulls.REFUSED)

    @property
    def checked(self) -> "Column":
        """The same, for data validation to fail where it is null."""
        return self._replace(nulls=Nulls.CHECKED)

    def check(self, name: str) -> dict[str, str]:
        """Delta's constraint on the values of the column, which is called `name`: its own name -> SQL condition."""
        if self.values is None:
            return {}
        null = "" if self.nulls is Nulls.REFUSED else f"{name} IS NULL OR "
        return {self.values.check: null + self.values.condition(name)}


def row_columns(row: type) -> dict[str, Column]:
    """The columns of a table whose rows are a class: each field is `Annotated` with its column."""
    hints = get_type_hints(row, include_extras=True)
    return {name: column for name, hint in hints.items() for column in get_args(hint)[1:] if isinstance(column, Column)}


IMPRESSION = Column("string", "id of the impression")
USER = Column("long", "id of the user")
VIDEO = Column("long", "id of the video")
TIME = Column("timestamp", "when it happened, UTC")
FOLDER = Column("date", "the day whose folder the row was delivered in").required
DAY = Column("date", "day of the impression, in the logs' time zone").required
UPDATED_AT = "updated_at"
"""The column of users and videos that says since when a row holds, where their logs do."""
LENGTH = Column("double", "length of the video, seconds")
RUN = Column("string", "id of the run; its data, code and packages stand in models/<run_id>/run.json").required
MODEL = Column("string", "a model of the configuration's catalogue").required
TASK = Column("string", "the task: ctr, cvr or a further one").required
METRIC = Column("string", "; ".join(f"{metric.name}: {metric.phrase}" for metric in METRICS.values())).required
COMPARISON = Column("string", "id of the comparison: its runs, models and settings decide it").required
MADE_AT = Column("timestamp", "when the rows were appended, UTC")


def probability(name: str, of: str) -> Column:
    """A prediction, strictly inside (0, 1); `name` is the column's."""
    return Column("double", of, values=Between(f"{name}_is_a_probability", 0, 1, ends_fail=True))


def ends(low: str, high: str, over: str) -> dict[str, Column]:
    """The two ends of a 95 % interval."""
    return {
        low: Column("double", f"lower end of the 95 % interval {over}"),
        high: Column("double", f"upper end of the 95 % interval {over}"),
    }


def estimate(prefix: str, how: str) -> Mapping[str, Column]:
    """A difference from the first arm of a simulation; null for that arm itself."""
    return {
        f"{prefix}_gain": Column("double", f"difference from the first arm, as a share of its figure, {how}"),
        **ends(f"{prefix}_low", f"{prefix}_high", how),
        f"{prefix}_any_day": Column("double", "half width of an interval that holds on all days at once"),
    }


def mean(of: str) -> Column:
    """A mean."""
    return Column("double", f"mean {of}")


def standard_error(of: str) -> Column:
    """The standard error of a mean, which another column has."""
    return Column("double", f"standard error of {of}")
