"""Rows of the sample tables as the two arrays that a net reads: ids and numbers."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ncs.errors import DataError
from ncs.kinds.layout import Layout, Slot


class Arrays(NamedTuple):
    """Encoded rows: `ids` int32 [rows, layout.id_width], `numbers` float32 [rows, layout.number_width]."""

    ids: NDArray[np.int32]
    numbers: NDArray[np.float32]


def stack(layout: Layout, columns: Mapping[str, np.ndarray], rows: int) -> Arrays:
    """The columns of `rows` encoded rows, side by side in the layout's order.

    A feature of several columns is a matrix [rows, length], as Petastorm reads it, or an array of arrays, as pandas
    has it. Raises DataError where an array has another length than the layout says.
    """
    ids = np.empty((rows, layout.id_width), np.int32)
    numbers = np.empty((rows, layout.number_width), np.float32)
    for block, slots, spans in ((ids, layout.ids, layout.id_spans), (numbers, layout.numbers, layout.number_spans)):
        for slot in slots:
            block[:, spans[slot.name]] = _matrix(slot, columns[slot.name], rows)
    return Arrays(ids, numbers)


def _matrix(slot: Slot, values: np.ndarray, rows: int) -> np.ndarray:
    """A feature's values [rows, length]."""
    if values.dtype == object:
        values = np.concatenate(list(values)) if len(values) and slot.is_list else values.astype(np.float64)
    if values.size != rows * slot.length:
        raise DataError(
            f"{slot.name}: arrays of {values.size / max(rows, 1):g} elements, {slot.length} expected; the samples were "
            f"encoded with another configuration, run `ncs encode`"
        )
    return values.reshape(rows, slot.length)
