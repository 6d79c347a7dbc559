"""Numbers that enter the net as numbers, on a scale that is learnt on the training days."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ncs.kinds.base import LARGEST_FLOAT, ColumnFeature, Encoder, Learnt, as_numbers
from ncs.kinds.layout import NumberSlot

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

_STEPS = 100


class Number(ColumnFeature):
    """`encode: number`; a missing, infinite or NaN value is 0 beside a flag.

    standard: less the mean, divided by the standard deviation; log: the same of sign(x) log(1 + |x|); quantile: the
    share of training rows below, from -1 to 1, by a straight line between percentiles; none: as it is.
    """

    encode: Literal["number"] = "number"
    scale: Literal["standard", "log", "quantile", "none"] = "standard"

    def slot(self, name: str) -> NumberSlot:
        """One number."""
        return NumberSlot(name, nullable=True)

    def encoder(self, name: str, known: Sequence[str]) -> Encoder:
        """Numbers float32 [rows], NaN where missing."""
        learnt = [float(value) for value in known]

        def encode(values: Any) -> NDArray[np.float32]:
            numbers = as_numbers(values)
            with np.errstate(invalid="ignore"):
                numbers = self._scaled(np.where(np.isfinite(numbers), numbers, np.nan), learnt)
                return np.where(np.abs(numbers) <= LARGEST_FLOAT, numbers, np.nan).astype(np.float32)

        return encode

    def problem(self, dtype: "DataType") -> str | None:
        """Only numbers are numbers."""
        from ncs.kinds.spark import no_number

        why = f"a number needs numbers, silver/samples has {dtype.simpleString()}; encode: vocabulary"
        return f"{why}, or cast it where the log is written" if no_number(dtype) else None

    def summary(self, name: str, dtype: "DataType") -> "Column":
        """`rows` that have a value, `mean` and `std`, or the percentiles from the least to the largest."""
        from pyspark.sql import functions as F

        from ncs.kinds.spark import finite

        number = finite(F.col(name))
        if self.scale == "log":
            number = F.signum(number) * F.log1p(F.abs(number))
        rows = F.count(number).alias("rows")
        if self.scale == "quantile":
            steps = [step / _STEPS for step in range(_STEPS + 1)]
            return F.struct(rows, F.percentile(number, steps).alias("values"))
        return F.struct(rows, F.array(F.mean(number), F.stddev_pop(number)).alias("values"))

    def learnt(self, summary: Any) -> Learnt:
        """Mean and standard deviation (1 where all rows are alike), or the percentiles; 9 digits, as sums vary."""
        if self.scale == "none" or not summary.rows:
            return []
        values = [float(f"{value:.9g}") for value in summary.values]
        if self.scale != "quantile":
            values[1] = values[1] or 1.0
        return [(repr(value), summary.rows) for value in values]

    def encode_column(self, rows: "DataFrame", name: str, known: "DataFrame", samples: "DataFrame") -> "DataFrame":
        """Add the number on its scale, float, NaN where missing."""
        from pyspark.sql import functions as F

        from ncs.kinds.spark import finite

        learnt = [float(row.value) for row in known.select("value").orderBy("id").collect()]
        number = self._scaled_column(finite(F.col(name)), learnt)
        number = F.when(F.abs(number) <= LARGEST_FLOAT, number)
        return rows.withColumn(f"{name}#", F.coalesce(number, F.lit(float("nan"))).cast("float"))

    def _scaled(self, numbers: NDArray[np.float64], learnt: list[float]) -> NDArray[np.float64]:
        if self.scale == "none" or not learnt:
            return numbers if self.scale == "none" else np.full_like(numbers, np.nan)
        if self.scale == "quantile":
            edges, places, slopes = (np.array(values) for values in _knots(learnt))
            below = np.clip(np.searchsorted(edges, numbers, side="right") - 1, 0, len(edges) - 1)
            inside = np.clip(numbers, edges[0], edges[-1])
            return places[below] + (inside - edges[below]) * slopes[below]
        if self.scale == "log":
            numbers = np.sign(numbers) * np.log1p(np.abs(numbers))
        return (numbers - learnt[0]) / learnt[1]

    def _scaled_column(self, number: "Column", learnt: list[float]) -> "Column":
        from pyspark.sql import functions as F

        if self.scale == "none" or not learnt:
            return number if self.scale == "none" else F.lit(None).cast("double")
        if self.scale == "quantile":
            from ncs.kinds.spark import position

            edges, places, slopes = (F.array(*map(F.lit, values)) for values in _knots(learnt))
            below = F.greatest(position(number, _knots(learnt)[0]), F.lit(1))
            inside = F.least(F.greatest(number, F.element_at(edges, 1)), F.element_at(edges, -1))
            place = F.element_at(places, below) + (inside - F.element_at(edges, below)) * F.element_at(slopes, below)
            return F.when(number.isNotNull(), place)
        if self.scale == "log":
            number = F.signum(number) * F.log1p(F.abs(number))
        return (number - learnt[0]) / learnt[1]


def _knots(percentiles: Sequence[float]) -> tuple[list[float], list[float], list[float]]:
    """The different percentiles, the place of each from -1 to 1 (of equal ones the middle), the slope to the next."""
    edges = sorted(set(percentiles))
    last = len(percentiles) - 1
    ends = [(percentiles.index(edge), last - percentiles[::-1].index(edge)) for edge in edges]
    places = [(first + end) / last - 1 for first, end in ends]
    steps = zip(edges, edges[1:], places, places[1:], strict=False)
    return edges, places, [*((top - low) / (right - left) for left, right, low, top in steps), 0.0]
