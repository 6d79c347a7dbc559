"""Values as the text that stands for them in gold/vocabulary, without Spark; equal to `ncs.kinds.spark.as_text`."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ncs.kinds.base import EXACT, Raw, as_array


def lookup_ids(values: Raw, lookup: Callable[[str], int]) -> NDArray[np.int64]:
    """Ids of scalar values [rows]; each distinct text is looked up once, a missing value is id 0."""
    encoded = as_array(values).dictionary_encode()
    texts = as_texts(encoded.dictionary)
    ids = np.array([0, *(lookup(text) for text in texts)], np.int64)
    return ids[encoded.indices.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False) + 1]


def as_texts(values: pa.Array) -> list[str]:
    """Values without nulls as text: a whole number alike whatever its type, `65`, not `65.0`."""
    if pa.types.is_floating(values.type):
        return [_number(value) for value in values.to_numpy(zero_copy_only=False)]
    if pa.types.is_null(values.type):
        return []
    return pc.cast(values, pa.string()).to_pylist()


def _number(value: np.floating) -> str:
    """A number as Java writes it: 0.5, 1.0E-5, NaN."""
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if abs(value) <= EXACT and value == np.floor(value):
        return str(int(value))
    if 1e-3 <= abs(value) < 1e7:
        return np.format_float_positional(value, trim="0")
    mantissa, exponent = np.format_float_scientific(value, trim="0").split("e")
    return f"{mantissa}E{int(exponent)}"
