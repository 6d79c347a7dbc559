"""Encoding of the world's columns as ids, by the vocabulary of a run, as `ncs encode` encodes logged rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ncs.errors import DataError
from ncs.kinds import FeatureField, Layout


class Encoder:
    """Ids of values, field by field; 0 is unknown."""

    def __init__(self, fields: Mapping[str, FeatureField], vocabulary: pa.Table) -> None:
        """`vocabulary` has the columns `field, value, id` of gold/vocabulary."""
        self.fields = fields
        self.layout = Layout.of(field.slot(name) for name, field in fields.items())
        known: dict[str, list[tuple[int, str]]] = {name: [] for name in fields}
        for field, value, position in zip(*(vocabulary[name].to_pylist() for name in _COLUMNS), strict=True):
            if field in known:
                known[field].append((position, value))
        self._known = {name: [value for _, value in sorted(values)] for name, values in known.items()}

    def ids(self, name: str, values: NDArray[Any]) -> NDArray[np.int64]:
        """A field's values [rows] -> ids int64 [rows]."""
        if self.fields[name].encode == "buckets":
            edges = np.array([float(edge) for edge in self._known[name]])
            numbers = values.astype(np.float64)
            return np.where(np.isnan(numbers), 0, np.searchsorted(edges, numbers, side="right"))
        table = {value: position for position, value in enumerate(self._known[name], start=1)}
        different, inverse = np.unique(_as_text(values), return_inverse=True)
        return np.array([table.get(value, 0) for value in different], np.int64)[inverse]

    def encode(self, columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.int64]]:
        """The ids of the fields among the columns."""
        return {name: self.ids(name, columns[name]) for name in self.fields if name in columns}

    def check(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Raise DataError for a field that is not among the columns."""
        missing = [name for name in self.fields if name not in columns]
        if missing:
            raise DataError(
                f"fields.{missing[0]}: the synthetic world has no such column, so no visit can be scored; it has "
                f"{', '.join(sorted(columns))}"
            )


def _as_text(values: NDArray[Any]) -> NDArray[np.str_]:
    """As `ncs.lake.types.as_text`: whole numbers without a decimal point whatever their type, `65`, not `65.0`."""
    text = values.astype(str)
    if values.dtype.kind == "f":
        whole = (values == np.floor(values)) & (np.abs(values) <= 2**53)
        text[whole] = values[whole].astype(np.int64).astype(str)
    return text


_COLUMNS = ("field", "value", "id")
