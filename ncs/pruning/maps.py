"""Pictures of masks: how much of each patch of a layer both tasks keep, or one alone."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from ncs.pruning.mask import OUTPUT, Mask

ROWS, COLUMNS = 32, 64
"""The most patches of a map, from one neuron to the next and from one input to the next."""

Map = list[list[float]]
"""Shares of the patches' connections, [neurons, inputs], each at most 32 and 64 of them."""


def maps(left: Mask, right: Mask) -> dict[str, dict[str, Map]]:
    """Layer -> `shared`, `left_only`, `right_only` -> map; the output layers are each task's own.

    Neurons and inputs stand in the net's order, so that a patch of the first layer is of neighbouring input columns.
    """
    found = {}
    for name in left:
        if name != OUTPUT:
            both = left[name] * right[name]
            parts = {"shared": both, "left_only": left[name] - both, "right_only": right[name] - both}
            found[name] = _rounded(parts)
    return found


def _rounded(parts: Mapping[str, Tensor]) -> dict[str, Map]:
    return {
        part: [[round(share, 3) for share in row] for row in _patches(values).tolist()]
        for part, values in parts.items()
    }


def _patches(values: Tensor) -> Tensor:
    """Means over patches of [neurons, inputs]."""
    neurons, inputs = values.shape
    return F.adaptive_avg_pool2d(values[None], (min(neurons, ROWS), min(inputs, COLUMNS)))[0]
