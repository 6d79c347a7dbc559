"""The kinds of rules that the suites are made of.

Rules on single columns are Great Expectations' own; the others are queries whose rows are the exceptions.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any, ClassVar

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation

from ncs.config import Config
from ncs.days import Days

Rules = list[Expectation]


class ExpectNoRows(gxe.UnexpectedRowsExpectation):
    """A query on the batch gives no rows; those that it gives are the exceptions and are kept in the result.

    The parent runs the query twice, to count and to fetch, and then keeps the count alone.
    """

    column: str
    at_fault: str | None = None
    """SQL condition of the rows that make a day fail, of which the page shows some."""
    metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows_query.table",)

    def _validate(
        self, metrics: dict, runtime_configuration: dict | None = None, execution_engine: Any = None
    ) -> dict[str, Any]:
        rows = metrics["unexpected_rows_query.table"]
        return {
            "success": not rows,
            "result": {"observed_value": len(rows), "details": {"unexpected_rows": rows}},
        }


def day_literal(day: date) -> str:
    """A day as SQL writes it."""
    return f"date'{day}'"


def text_literal(text: str) -> str:
    """A text as SQL writes it, whatever is in it: a column of the logs may be called anything."""
    return f"cast(X'{text.encode().hex()}' AS string)"


def quoted(column: str) -> str:
    """A column's name as SQL writes it, even if it is a word of SQL."""
    return f"`{column.replace('`', '``')}`"


def not_null(*columns: str) -> Rules:
    """A value in every row."""
    return [gxe.ExpectColumnValuesToNotBeNull(column=column) for column in columns]


def in_set(column: str, values: list[Any]) -> Expectation:
    """One of some values in every row."""
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=values)


def every_day(days: Iterable[date]) -> Expectation:
    """Rows of each of the days."""
    days = list(days)
    wanted = ", ".join(map(day_literal, days))
    return ExpectNoRows(
        column="day",
        description=f"every day of {Days.text(days)} is there",
        unexpected_rows_query=f"SELECT wanted AS day FROM (SELECT explode(array({wanted})) AS wanted) "
        "LEFT ANTI JOIN {batch} ON day = wanted ORDER BY day",
    )


def unique(*columns: str) -> Expectation:
    """No key twice, nulls aside."""
    key, names = ", ".join(map(quoted, columns)), ", ".join(columns)
    present = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in columns)
    return ExpectNoRows(
        column=columns[-1],
        description=f"no {names} comes twice",
        # Great Expectations' own uniqueness sorts the whole table in a window; a hash aggregate is enough.
        unexpected_rows_query="SELECT count(*) AS repeated_keys, sum(n) AS rows, "
        f"to_json(min(key)) AS example FROM (SELECT struct({key}) AS key, count(*) AS n FROM {{batch}} "
        f"WHERE {present} GROUP BY {key}) WHERE n > 1 HAVING count(*) > 0",
    )


def none_where(column: str, text: str, condition: str) -> Expectation:
    """No row that meets an SQL condition."""
    query = f"SELECT day, count(*) AS rows FROM {{batch}} WHERE {condition} GROUP BY day ORDER BY day"
    return ExpectNoRows(column=column, description=text, unexpected_rows_query=query, at_fault=condition)


def few_null(column: str, conf: Config) -> Expectation:
    """At most `gates.max_quarantined` of a day's rows without a value."""
    most = conf.gates.max_quarantined
    text = f"each day, at most {most} of the rows lack {column}"
    return daily_share(column, text, f"{quoted(column)} IS NULL", "true", most)


def daily_share(column: str, text: str, bad: str, among: str, most: float) -> Expectation:
    """Of a day's rows that meet `among` at most so large a share meets `bad`."""
    return ExpectNoRows(
        column=column,
        description=text,
        at_fault=bad,
        unexpected_rows_query=f"SELECT day, count_if({bad}) AS found, count_if({among}) AS among FROM {{batch}} "
        f"GROUP BY day HAVING found > {most} * among ORDER BY day",
    )


def daily_mean(column: str, band: list[float]) -> Expectation:
    """Each day's mean within a band and above 0."""
    low, high = band
    return ExpectNoRows(
        column=column,
        description=f"each day's mean of {column} is above 0 and lies in [{low}, {high}]",
        unexpected_rows_query=f"SELECT day, avg({quoted(column)}) AS mean, count(*) AS rows FROM {{batch}} "
        f"GROUP BY day HAVING mean = 0 OR mean NOT BETWEEN {low} AND {high} ORDER BY day",
    )
