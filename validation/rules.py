"""The kinds of rules that the suites are made of.

A rule is plain data. It yields the condition that its bad rows meet, as a Spark column, and the expectation that
Great Expectations checks. Rules on single columns are Great Expectations' own, whose counts share one pass over the
table; the others are queries whose rows are the exceptions.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import Column
from pyspark.sql import functions as F

from ncs.config import digest
from ncs.lake import columns
from ncs.text import quoted

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from great_expectations.expectations.expectation import Expectation

_SPARK_TYPES = {
    "string": "StringType",
    "integer": "IntegerType",
    "long": "LongType",
    "float": "FloatType",
    "double": "DoubleType",
    "boolean": "BooleanType",
    "date": "DateType",
    "timestamp": "TimestampType",
    "array": "ArrayType",
}
"""A type by Delta's name -> Spark's class."""
RULE = "rule"
"""The key of an expectation's `meta` that says which rule of its suite it is."""


@dataclass(frozen=True)
class Rule(ABC):
    """Something that is true of a good table, or of each of its rows."""

    def bad_rows(self) -> Column | None:
        """The condition of the rows that break it; None where single rows do not."""
        return self._bad_rows()

    def expectation(self, meta: dict[str, Any]) -> "Expectation":
        """The same for Great Expectations; `meta` goes with it into the result."""
        expectation = self._expectation()
        expectation.meta = meta
        return expectation

    def _bad_rows(self) -> Column | None:
        return None

    @abstractmethod
    def _expectation(self) -> "Expectation": ...


Rules = list[Rule]


@dataclass(frozen=True)
class Suite:
    """The rules of a table, and the name of their pages."""

    name: str
    rules: Rules

    def digest(self, **more: Any) -> str:
        """A digest of the rules and of something `more` that decides the verdict."""
        return digest({"rules": [[type(rule).__name__, asdict(rule)] for rule in self.rules], **more})

    def expectations(self) -> "ExpectationSuite":
        """The suite of Great Expectations."""
        from great_expectations import ExpectationSuite

        expectations = [rule.expectation({RULE: n}) for n, rule in enumerate(self.rules)]
        return ExpectationSuite(name=self.name, expectations=expectations)

    def computable(self, types: Mapping[str, str]) -> "Suite":
        """The suite of a table whose columns have these types: without what cannot be computed of them.

        Where they do not fit, that leaves only the rules on the schema.
        """
        names = [rule for rule in self.rules if isinstance(rule, HasColumns)]
        typed = [rule for rule in self.rules if isinstance(rule, HasType)]
        if all(types.keys() >= set(rule.columns) for rule in names) and all(types[r.column] == r.type for r in typed):
            return self
        return Suite(self.name, [*names, *(rule for rule in typed if rule.column in types)])


@dataclass(frozen=True)
class HasColumns(Rule):
    """The columns are there; others may be."""

    columns: tuple[str, ...]

    def _expectation(self) -> "Expectation":
        from great_expectations.expectations import ExpectTableColumnsToMatchSet

        return ExpectTableColumnsToMatchSet(column_set=list(self.columns), exact_match=False)


@dataclass(frozen=True)
class HasType(Rule):
    """A column has a type, the name of Spark's class."""

    column: str
    type: str

    def _expectation(self) -> "Expectation":
        from great_expectations.expectations import ExpectColumnValuesToBeOfType

        return ExpectColumnValuesToBeOfType(column=self.column, type_=self.type)


@dataclass(frozen=True)
class HasRows(Rule):
    """There is a row."""

    def _expectation(self) -> "Expectation":
        from great_expectations.expectations import ExpectTableRowCountToBeBetween

        return ExpectTableRowCountToBeBetween(min_value=1)


@dataclass(frozen=True)
class NotNull(Rule):
    """A value in every row."""

    column: str

    def _bad_rows(self) -> Column:
        return F.col(quoted(self.column)).isNull()

    def _expectation(self) -> "Expectation":
        from great_expectations.expectations import ExpectColumnValuesToNotBeNull

        return ExpectColumnValuesToNotBeNull(column=self.column)


@dataclass(frozen=True)
class InSet(Rule):
    """One of some values in every row that has one."""

    column: str
    values: tuple[Any, ...]

    def _bad_rows(self) -> Column:
        return ~F.col(quoted(self.column)).isin(*self.values)

    def _expectation(self) -> "Expectation":
        from great_expectations.expectations import ExpectColumnValuesToBeInSet

        return ExpectColumnValuesToBeInSet(column=self.column, value_set=list(self.values))


@dataclass(frozen=True)
class Within(Rule):
    """A value from `low` to `high` in every row that has one; `strict`: neither of the two itself.

    NaN, which is no number of another kind to Spark but the largest of all, lies not between.
    """

    column: str
    low: float
    high: float | None
    strict: bool = False

    def _bad_rows(self) -> Column:
        value = F.col(quoted(self.column))
        inside = value > self.low if self.strict else value >= self.low
        if self.high is not None:
            inside = inside & (value < self.high if self.strict else value <= self.high)
        return ~inside

    def _expectation(self) -> "Expectation":
        from great_expectations.expectations import ExpectColumnValuesToBeBetween

        return ExpectColumnValuesToBeBetween(
            column=self.column,
            min_value=self.low,
            max_value=self.high,
            strict_min=self.strict,
            strict_max=self.strict,
        )


@dataclass(frozen=True)
class NoRows(Rule):
    """A query, in which the table stands as `{batch}`, gives no rows."""

    column: str
    """The subject, for the message."""
    description: str
    query: str
    bad: str | None = None
    """SQL condition of the rows that break it, or that make a day break it."""
    warns: bool = False
    """Whether it is only shown and recorded."""

    def _bad_rows(self) -> Column | None:
        return F.expr(self.bad) if self.bad else None

    def _expectation(self) -> "Expectation":
        from great_expectations.expectations.metadata_types import FailureSeverity

        from validation.expectations import ExpectNoRows

        return ExpectNoRows(
            column=self.column,
            description=self.description,
            severity=FailureSeverity.WARNING if self.warns else FailureSeverity.CRITICAL,
            unexpected_rows_query=self.query,
        )


def as_declared(declared: Mapping[str, columns.Column]) -> Rules:
    """The rules that follow from the declarations of columns: types and values."""
    rules: Rules = []
    for name, column in declared.items():
        rules.append(HasType(name, _SPARK_TYPES[column.type]))
        if column.nulls is not columns.Nulls.ALLOWED:
            rules.append(NotNull(name))
        match column.values:
            case columns.OneOf(_, values):
                rules.append(InSet(name, values))
            case columns.Between(_, low, high, ends_fail):
                rules.append(Within(name, low, high, strict=ends_fail))
    return rules
