"""Lists of values, each element an id; their vectors are pooled into one."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from ncs.kinds.base import ColumnFeature, Encoder, Raw, as_array
from ncs.kinds.layout import NO_ID, IdSlot
from ncs.kinds.text import as_texts, lookup_ids
from ncs.values import Count

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType


class IdList(ColumnFeature):
    """`encode: list`, of an array column, or of a text column whose elements a separator separates.

    Blanks around elements, empty and missing ones do not count; of the others the first `length` do. An element that
    is not in the vocabulary is id 0.
    """

    encode: Literal["list"] = "list"
    separator: Annotated[str, Field(min_length=1, max_length=8)] | None = None
    """None: the column is an array."""
    length: Annotated[int, Field(ge=1, le=1000)] = 8
    """So many elements are read, from the first."""
    pooling: Literal["mean", "sum", "max"] = "mean"
    min_count: Count = 1
    table: str | None = None
    """The field whose ids and embeddings it shares; None: its own."""

    def slot(self, name: str) -> IdSlot:
        """`length` ids; an empty list is a vector of zeros."""
        return IdSlot(name, self.table or name, self.length, self.pooling)

    def encoder(self, name: str, known: Sequence[str]) -> Encoder:
        """Ids int64 [rows, length], -1 behind the last element."""
        ids = {value: n for n, value in enumerate(known, start=1)}
        elements = lambda texts: lookup_ids(texts, lambda text: ids.get(text, 0))  # noqa: E731
        return lambda values: encode_lists(_as_lists(values, self.separator), self.length, elements)

    def problem(self, dtype: "DataType") -> str | None:
        """An array without separator, a text with one."""
        from pyspark.sql.types import ArrayType, StringType

        why = f"silver/samples has {dtype.simpleString()}"
        if isinstance(dtype, ArrayType):
            return f"{why}, which needs no separator; leave it out" if self.separator else None
        if not isinstance(dtype, StringType):
            return f"{why}, no list: arrays and texts with a separator are lists; encode: vocabulary"
        return None if self.separator else f'{why}, no array; name what separates its elements, as separator: ","'

    def values(self, name: str, dtype: "DataType", summary: Any) -> "Column | None":
        """The different elements of the row, unless another field's vocabulary has them."""
        from pyspark.sql import functions as F

        if self.table:
            return None
        elements = F.array_distinct(self._elements(name, dtype))
        return F.when(elements.isNotNull(), elements).otherwise(F.array().cast("array<string>"))

    def encode_column(self, rows: "DataFrame", name: str, known: "DataFrame", samples: "DataFrame") -> "DataFrame":
        """Add the ids of each list, array<int>. Different lists are encoded once, then joined back."""
        from pyspark.sql import functions as F

        from ncs.kinds.spark import join_ids, padded

        raw, text = f"{name}#raw", f"{name}#text"
        lists = samples.select(name).where(F.col(name).isNotNull()).distinct()
        texts = self._elements(name, rows.schema[name].dataType)
        elements = lists.select(F.col(name).alias(raw), F.posexplode(texts).alias("#place", text))
        placed = F.array_sort(F.collect_list(F.struct("#place", f"{name}#")))
        ids = F.transform(placed, lambda element: element[f"{name}#"])
        encoded = join_ids(elements, name, F.col(text), known).groupBy(raw).agg(ids.alias(f"{name}#"))
        joined = rows.join(encoded, F.col(name) == F.col(raw), "left").drop(raw)
        none = F.array().cast("array<int>")
        return joined.withColumn(f"{name}#", padded(F.coalesce(f"{name}#", none), self.length, NO_ID))

    def _elements(self, name: str, dtype: "DataType") -> "Column":
        """The elements that count, array<string>; null where the column is."""
        from pyspark.sql import functions as F
        from pyspark.sql.types import ArrayType

        from ncs.kinds.spark import as_text

        if isinstance(dtype, ArrayType):
            texts = F.transform(name, lambda element: as_text(element, dtype.elementType))
        else:
            texts = F.transform(F.split(name, re.escape(self.separator or "")), lambda text: F.trim(text))
        return F.slice(F.filter(texts, lambda text: text != ""), 1, self.length)


def encode_lists(lists: pa.Array, length: int, encode: Encoder) -> NDArray[np.int64]:
    """Ids [rows, length] of the first elements of each list, -1 behind the last; a missing list is an empty one."""
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    ids = np.full((len(counts), length), NO_ID, np.int64)
    places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    within = places < length
    ids[np.repeat(np.arange(len(counts)), counts)[within], places[within]] = encode(pc.list_flatten(lists))[within]
    return ids


def as_lists(values: Raw) -> pa.Array:
    """Lists as an Arrow array of lists."""
    if isinstance(values, np.ndarray):
        values = [None if row is None else list(row) for row in values]
    lists = as_array(values)
    empty = pa.types.is_null(lists.type) or pa.types.is_null(lists.type.value_type)
    return lists.cast(pa.list_(pa.string())) if empty else lists


def _as_lists(values: Raw, separator: str | None) -> pa.Array:
    """The elements of lists that count, as text."""
    if separator is None:
        lists = as_lists(values)
        lists = _keep(lists, pc.is_valid(pc.list_flatten(lists)))
        texts = pa.array(as_texts(pc.list_flatten(lists)), pa.string())
    else:
        column = as_array(values).cast(pa.string())
        lists = pc.split_pattern(column, separator)
        texts = pc.utf8_trim(pc.list_flatten(lists), " ")
    return _keep(_with_elements(lists, texts), pc.not_equal(texts, ""))


def _with_elements(lists: pa.Array, elements: pa.Array) -> pa.Array:
    """Other elements in the same places."""
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(counts)]), pa.int32()), elements)


def _keep(lists: pa.Array, kept: pa.Array) -> pa.Array:
    """Lists without the elements that are not kept."""
    flags = np.asarray(kept.to_numpy(zero_copy_only=False), bool)
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    before = np.concatenate([[0], np.cumsum(flags)])
    ends = np.concatenate([[0], np.cumsum(counts)])
    return pa.ListArray.from_arrays(pa.array(before[ends], pa.int32()), pc.list_flatten(lists).filter(pa.array(flags)))
