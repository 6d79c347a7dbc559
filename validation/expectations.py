"""Great Expectations' form of the rules. It is imported when a table is checked, for that takes seconds."""

from typing import Any, ClassVar

import great_expectations.expectations as gxe


class ExpectNoRows(gxe.UnexpectedRowsExpectation):
    """A query on the batch gives no rows; those that it gives are the exceptions and are kept in the result.

    The parent runs the query twice, to count and to fetch, and then keeps the count alone.
    """

    column: str
    metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows_query.table",)

    def _validate(
        self, metrics: dict, runtime_configuration: dict | None = None, execution_engine: Any = None
    ) -> dict[str, Any]:
        rows = metrics["unexpected_rows_query.table"]
        return {
            "success": not rows,
            "result": {"observed_value": len(rows), "details": {"unexpected_rows": rows}},
        }
