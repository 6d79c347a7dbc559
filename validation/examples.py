"""Rows at fault, some of them, for the page of a failed expectation. They are looked for only when one has failed."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult

_SHOWN = 5


def attach(frame: DataFrame, failed: "Sequence[ExpectationValidationResult]") -> None:
    """Put up to five rows, as JSON, into each result as what Data Docs shows as sampled values."""
    for result in failed:
        rows = result.result.get("details", {}).get("unexpected_rows")
        condition = _condition(result)
        if condition is not None:
            texts = _examples(frame, condition, rows)
        elif rows:  # the exceptions themselves: days with their figures, or keys with an example
            texts = [", ".join(f"{key} {value}" for key, value in row.items()) for row in rows[:_SHOWN]]
        else:
            continue
        # The page's templates show them as they are: what is markup in the logs must be none on the page.
        result.result["partial_unexpected_list"] = [html.escape(text) for text in texts]
        # The page's table asks for a count; at 0 no share is told, which the rules that are queries do not have.
        result.result.setdefault("unexpected_count", 0)


def _examples(frame: DataFrame, condition: Column, rows: list[dict[str, Any]] | None) -> list[str]:
    days = [row["day"] for row in rows or [] if row.get("day")]
    found = frame.where(condition)
    return (found.where(F.col("day").isin(days)) if days else found).limit(_SHOWN).toJSON().collect()


def _condition(result: "ExpectationValidationResult") -> Column | None:
    """What the rows at fault meet, where single rows are."""
    config = result.expectation_config
    assert config is not None
    kwargs = config.kwargs
    if kwargs.get("at_fault"):
        return F.expr(kwargs["at_fault"])
    column = F.col(kwargs["column"]) if "column" in kwargs else None
    if column is None or "element_count" not in result.result:
        return None
    match config.type:
        case "expect_column_values_to_not_be_null":
            return column.isNull()
        case "expect_column_values_to_be_in_set":
            return ~column.isin(kwargs["value_set"])
        case "expect_column_values_to_be_between":
            low, high = F.lit(kwargs["min_value"]), F.lit(kwargs["max_value"])
            inside = (column > low) & (column < high) if kwargs.get("strict_min") else column.between(low, high)
            return ~inside
    return None
