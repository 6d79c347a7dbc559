"""Rows at random, with all that a layout allows in them: what exported programs are compared on."""

from collections.abc import Sequence

import numpy as np
import torch

from ncs.data_loading import Features
from ncs.kinds.layout import NO_ID
from ncs.nets.inputs import InputSpec

_MISSING = 0.1
"""The share of the numbers that are missing."""


def draw(spec: InputSpec, rows: int) -> Features:
    """So many rows with ids of all sizes, lists of all lengths, and missing numbers."""
    layout = spec.layout
    random = np.random.default_rng(0)
    ids = random.integers(0, spec.size_of_column, size=(rows, layout.id_width))
    for slot in layout.ids:
        if slot.is_list:
            elements = random.integers(slot.length + 1, size=(rows, 1))
            ids[:, layout.id_spans[slot.name]][np.arange(slot.length) >= elements] = NO_ID
    numbers = random.normal(size=(rows, layout.number_width)).astype(np.float32)
    numbers[random.random(numbers.shape) < _MISSING] = np.nan
    return Features(torch.from_numpy(ids), torch.from_numpy(numbers))


def extremes(spec: InputSpec) -> Features:
    """Two rows, of the first and of the last id of each column."""
    last = torch.tensor([spec.size_of_column], dtype=torch.int64) - 1
    return Features(torch.cat([0 * last, last]), torch.zeros(2, spec.layout.number_width))


def as_one_request(features: Features, spec: InputSpec, request: Sequence[int]) -> Features:
    """The same rows, but with the first one's values in the features of `request`, positions in `layout.vectors`."""
    layout = spec.layout
    ids, numbers = features.ids.clone(), features.numbers.clone()
    for name in (layout.vectors[n] for n in request):
        block, spans = (ids, layout.id_spans) if name in layout.id_spans else (numbers, layout.number_spans)
        block[:, spans[name]] = block[0, spans[name]].clone()
    return Features(ids, numbers)
