"""Rows at fault, some of them, for the page of a failed expectation. They are looked for only when one has failed."""

import html
from typing import TYPE_CHECKING, Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from validation.rules import Rule

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult

_SHOWN = 5


def attach(frame: DataFrame, rule: Rule, result: "ExpectationValidationResult") -> None:
    """Put up to five rows, as JSON, into the result of a rule as what Data Docs shows as sampled values."""
    rows = result.result.get("details", {}).get("unexpected_rows")
    bad = rule.bad_rows()
    if bad is not None and (rows or "element_count" in result.result):  # else it could not be computed
        texts = _examples(frame, bad, rows)
    elif rows:  # the exceptions themselves: days with their figures, or keys with an example
        texts = [", ".join(f"{key} {value}" for key, value in row.items()) for row in rows[:_SHOWN]]
    else:
        return
    # The page's templates show them as they are: what is markup in the logs must be none on the page.
    result.result["partial_unexpected_list"] = [html.escape(text) for text in texts]
    # The page's table asks for a count; at 0 no share is shown, which the rules that are queries do not have.
    result.result.setdefault("unexpected_count", 0)


def _examples(frame: DataFrame, condition: Column, rows: list[dict[str, Any]] | None) -> list[str]:
    days = [row["day"] for row in rows or [] if row.get("day")]
    found = frame.where(condition)
    return (found.where(F.col("day").isin(days)) if days else found).limit(_SHOWN).toJSON().collect()
