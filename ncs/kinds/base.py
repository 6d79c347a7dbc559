"""The interface of all kinds of features."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ncs.kinds.layout import Slot
from ncs.values import Section

if TYPE_CHECKING:  # the training half imports this package, and has no Spark
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType

Side = Literal["user", "video", "context"]
Raw: TypeAlias = Any
"""Values of a column, a row each: an Arrow array, a numpy array or a sequence."""
Encoder = Callable[[Raw], NDArray[Any]]
"""Raw values [rows] -> ids int64, or numbers float32 [rows, length of the slot]."""
Learnt = list[tuple[str, int]]
"""Rows of gold/vocabulary in the order of their ids: value, count."""
EXACT = 2**53
"""The largest whole number up to which a double holds them all."""
LARGEST_FLOAT = float(np.finfo(np.float32).max)
HOUR = 3_600_000_000
"""In microseconds."""


class Feature(Section):
    """A feature, by the name that its column in the sample tables has."""

    side: Side

    def slot(self, name: str) -> Slot:
        """Its columns in a batch."""
        raise NotImplementedError

    def encoder(self, name: str, known: Sequence[str]) -> Encoder:
        """An encoder that agrees with Spark's; `known`: the values of its table in the order of their ids."""
        raise NotImplementedError

    def largest_id(self, known: int) -> int:
        """The largest id that a row can have, if gold/vocabulary has `known` rows of its table."""
        return known


class ColumnFeature(Feature):
    """A feature of one column of silver/samples, or of a statistic that stands beside these columns."""

    by_value: ClassVar[bool] = False
    """Whether ids rise with the value, as a number; else by falling frequency."""

    def problem(self, dtype: "DataType") -> str | None:
        """The problem with the type of its column, and the remedy; None: there is none."""
        raise NotImplementedError

    def summary(self, name: str, dtype: "DataType") -> "Column | None":
        """The aggregate over the training rows that it needs; its value is passed to the methods below."""
        return None

    def learnt(self, summary: Any) -> Learnt:
        """The rows of gold/vocabulary that follow from the summary alone."""
        return []

    def report(self, summary: Any) -> str | None:
        """A warning about the training rows."""
        return None

    def values(self, name: str, dtype: "DataType", summary: Any) -> "Column | None":
        """The values of a row that get ids, array<string>; None: it learns none."""
        return None

    def bad_rows(self, name: str) -> "Column | None":
        """The problem with a row's value as text, null where there is none; None: every value can be encoded."""
        return None

    def encode_column(self, rows: "DataFrame", name: str, known: "DataFrame", samples: "DataFrame") -> "DataFrame":
        """Add `<name>#`, what the sample tables hold.

        Args:
            rows: the samples, with what other features have added.
            name: the column.
            known: `value, id` of its table.
            samples: without these: who needs the column's values first finds them there at less cost.
        """
        raise NotImplementedError


def as_array(values: Raw) -> pa.Array:
    """Values as an Arrow array, whose nulls are the missing ones."""
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    if isinstance(values, pa.Array):
        return values
    if isinstance(values, np.ndarray) and values.dtype.kind in "OU":
        return pa.array(values.tolist())
    return pa.array(values)


def as_numbers(values: Raw) -> NDArray[np.float64]:
    """Values as doubles, NaN where missing [rows]."""
    array = as_array(values).cast(pa.float64())
    return array.fill_null(float("nan")).to_numpy(zero_copy_only=False)
