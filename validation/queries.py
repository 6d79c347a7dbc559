"""Rules that are queries: on days, on keys, on several columns at once."""

from collections.abc import Iterable
from datetime import date

from ncs.config import Config
from ncs.days import Days
from ncs.text import quoted
from validation.rules import NoRows, Rule


def day_literal(day: date) -> str:
    """A day as SQL writes it."""
    return f"date'{day}'"


def text_literal(text: str) -> str:
    """A text as SQL that no text can break out of: ids and columns are called as whoever has written the log likes."""
    return f"cast(X'{text.encode().hex()}' AS string)"


def every_day(days: Iterable[date]) -> Rule:
    """Rows of each of the days."""
    days = list(days)
    wanted = ", ".join(map(day_literal, days))
    return NoRows(
        "day",
        f"every day of {Days.text(days)} is there",
        f"SELECT wanted AS day FROM (SELECT explode(array({wanted})) AS wanted) "
        "LEFT ANTI JOIN {batch} ON day = wanted ORDER BY day",
    )


def unique(*key: str) -> Rule:
    """No key twice, nulls aside."""
    quoted_key, names = ", ".join(map(quoted, key)), ", ".join(key)
    present = " AND ".join(f"{quoted(column)} IS NOT NULL" for column in key)
    return NoRows(
        key[-1],
        f"no {names} comes twice",
        # Great Expectations' own uniqueness sorts the whole table in a window; a hash aggregate is enough.
        "SELECT count(*) AS repeated_keys, sum(n) AS rows, "
        f"to_json(min(key)) AS example FROM (SELECT struct({quoted_key}) AS key, count(*) AS n FROM {{batch}} "
        f"WHERE {present} GROUP BY {quoted_key}) WHERE n > 1 HAVING count(*) > 0",
    )


def none_where(column: str, text: str, condition: str) -> Rule:
    """No row that meets an SQL condition."""
    query = f"SELECT day, count(*) AS rows FROM {{batch}} WHERE {condition} GROUP BY day ORDER BY day"
    return NoRows(column, text, query, condition)


def few_null(column: str, conf: Config) -> Rule:
    """At most `gates.max_quarantined` of a day's rows without a value."""
    most = conf.gates.max_quarantined
    text = f"each day, at most {most} of the rows lack {column}"
    return daily_share(column, text, f"{quoted(column)} IS NULL", "true", most)


def daily_share(column: str, text: str, bad: str, among: str, most: float) -> Rule:
    """Of a day's rows that meet `among` at most so large a share meets `bad`."""
    query = (
        f"SELECT day, count_if({bad}) AS found, count_if({among}) AS among FROM {{batch}} "
        f"GROUP BY day HAVING found > {most} * among ORDER BY day"
    )
    return NoRows(column, text, query, bad)


def daily_mean(column: str, band: list[float]) -> Rule:
    """Each day's mean within a band and above 0."""
    low, high = band
    return NoRows(
        column,
        f"each day's mean of {column} is above 0 and lies in [{low}, {high}]",
        f"SELECT day, avg({quoted(column)}) AS mean, count(*) AS rows FROM {{batch}} "
        f"GROUP BY day HAVING mean = 0 OR mean NOT BETWEEN {low} AND {high} ORDER BY day",
    )
