"""Numbers as ids: the quantiles of the training days are the buckets' edges."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ncs.kinds.base import ColumnFeature, Encoder, as_numbers
from ncs.kinds.layout import IdSlot

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType


class Buckets(ColumnFeature):
    """`encode: buckets`; ids rise with the value, a missing value is id 0."""

    encode: Literal["buckets"] = "buckets"
    buckets: Annotated[int, Field(ge=2, le=1000)] = 16
    min_count: Literal[1] = 1
    by_value: ClassVar[bool] = True

    def slot(self, name: str) -> IdSlot:
        """One id."""
        return IdSlot(name, name)

    def encoder(self, name: str, known: Sequence[str]) -> Encoder:
        """Ids int64 [rows]."""
        edges = np.array([float(edge) for edge in known])

        def encode(values: Any) -> Any:
            numbers = as_numbers(values)
            return np.where(np.isnan(numbers), 0, np.searchsorted(edges, numbers, side="right"))

        return encode

    def problem(self, dtype: "DataType") -> str | None:
        """Only numbers have an order."""
        from ncs.kinds.spark import no_number

        why = f"buckets need numbers, silver/samples has {dtype.simpleString()}; encode: vocabulary"
        return why if no_number(dtype) else None

    def summary(self, name: str, dtype: "DataType") -> "Column":
        """The inner edges: quantiles, in rising order, several of them equal where a value is frequent."""
        from pyspark.sql import functions as F

        number = F.col(name).cast("double")
        steps = [n / self.buckets for n in range(1, self.buckets)]
        return F.percentile(F.when(~F.isnan(number), number), steps)

    def values(self, name: str, dtype: "DataType", summary: Any) -> "Column":
        """The lower edge of the row's bucket; the first is minus infinity, equal quantiles fall together."""
        from pyspark.sql import functions as F

        from ncs.kinds.spark import position

        edges = [float("-inf"), *sorted(set(summary or []))]
        texts = F.array(*[F.lit(str(edge)) for edge in edges])
        return F.array(F.element_at(texts, position(F.col(name), edges)))

    def encode_column(self, rows: "DataFrame", name: str, known: "DataFrame", samples: "DataFrame") -> "DataFrame":
        """Add the number of the value's bucket, int."""
        from pyspark.sql import functions as F

        from ncs.kinds.spark import position

        edges = [float(row.value) for row in known.select("value").orderBy("id").collect()]
        return rows.withColumn(f"{name}#", F.coalesce(position(F.col(name), edges), F.lit(0)))
