"""Vectors of fixed length, as a pretrained embedding of a cover or a text: projected to the embedding's width."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from ncs.errors import DataError
from ncs.kinds.base import LARGEST_FLOAT, ColumnFeature, Encoder, as_array
from ncs.kinds.layout import NumberSlot

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType


class Vector(ColumnFeature):
    """`encode: vector`, of an array of numbers; a missing one is all zeros."""

    encode: Literal["vector"] = "vector"
    length: Annotated[int, Field(ge=1, le=4096)]

    def slot(self, name: str) -> NumberSlot:
        """`length` numbers that a linear layer makes one vector of."""
        return NumberSlot(name, self.length, projected=True)

    def encoder(self, name: str, known: Sequence[str]) -> Encoder:
        """Numbers float32 [rows, length]. Raises DataError for a vector of another length, or that is not finite."""

        def encode(values: Any) -> NDArray[np.float32]:
            if isinstance(values, np.ndarray) and values.dtype.kind != "O":
                values = list(values)
            vectors = as_array(values)
            lengths = pc.list_value_length(vectors)
            for row, length in enumerate(lengths.to_pylist()):
                if length is not None and length != self.length:
                    raise DataError(f"fields.{name}: row {row} has {length} numbers, a vector has {self.length}")
            numbers = np.zeros((len(vectors), self.length), np.float32)
            flat = pc.list_flatten(vectors).cast(pa.float32()).to_numpy(zero_copy_only=False)
            if not np.isfinite(flat).all():
                raise DataError(f"fields.{name}: a vector has a missing or infinite number")
            numbers[np.asarray(lengths.is_valid())] = flat.reshape(-1, self.length)
            return numbers

        return encode

    def problem(self, dtype: "DataType") -> str | None:
        """Arrays of numbers alone."""
        from pyspark.sql.types import ArrayType

        from ncs.kinds.spark import no_number

        if isinstance(dtype, ArrayType) and not no_number(dtype.elementType):
            return None
        return f"a vector is an array of numbers, silver/samples has {dtype.simpleString()}; write it so, in Parquet"

    def bad_rows(self, name: str) -> "Column":
        """A vector of another length, or with an element that is no finite number."""
        from pyspark.sql import functions as F

        size = F.size(name)
        text = F.concat(F.lit("has "), size.cast("string"), F.lit(f" numbers, a vector has {self.length}"))
        numbers = F.col(name).cast("array<double>")
        broken = F.exists(numbers, lambda x: x.isNull() | F.isnan(x) | (F.abs(x) > LARGEST_FLOAT))
        return F.when(F.col(name).isNotNull() & (size != self.length), text).when(
            broken, "has an element that is no finite number"
        )

    def encode_column(self, rows: "DataFrame", name: str, known: "DataFrame", samples: "DataFrame") -> "DataFrame":
        """Add the vector, array<float>."""
        from pyspark.sql import functions as F

        zeros = F.array_repeat(F.lit(0.0), self.length).cast("array<float>")
        return rows.withColumn(f"{name}#", F.coalesce(F.col(name).cast("array<float>"), zeros))
