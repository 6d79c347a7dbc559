"""Rows at fault, some of them. They are looked for only when a rule has failed."""

from typing import TYPE_CHECKING, Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from validation.rules import Rule

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult

_SHOWN = 5


def examples(frame: DataFrame, rule: Rule, result: "ExpectationValidationResult") -> list[str]:
    """Up to five rows that break a rule, as JSON; of a query on days or keys its exceptions, with their figures."""
    rows = result.result.get("details", {}).get("unexpected_rows")
    bad = rule.bad_rows()
    if bad is not None and (rows or "element_count" in result.result):  # else it could not be computed
        return _bad_rows(frame, bad, rows)
    return [", ".join(f"{key} {value}" for key, value in row.items()) for row in (rows or [])[:_SHOWN]]


def _bad_rows(frame: DataFrame, condition: Column, rows: list[dict[str, Any]] | None) -> list[str]:
    days = [row["day"] for row in rows or [] if row.get("day")]
    bad = frame.where(condition)
    return (bad.where(F.col("day").isin(days)) if days else bad).limit(_SHOWN).toJSON().collect()
