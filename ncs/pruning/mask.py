"""A mask: for every maskable weight 1 (kept) or 0 (pruned), by layer."""

from collections.abc import Iterator, Mapping
from copy import copy

import torch
from torch import Tensor
from torch.nn import functional as F

OUTPUT = "output"
"""The name of a task's own output layer in its mask; the others are `hidden.<n>`."""
ROWS, COLUMNS = 32, 64
"""The most patches of a map, from one neuron to the next and from one input to the next."""

Map = list[list[float]]
"""Shares of the patches' connections, [neurons, inputs], each at most 32 and 64 of them."""


class Mask(Mapping[str, Tensor]):
    """Layer name -> tensor of the weight's shape that holds 0 and 1 alone, as floats to multiply with."""

    def __init__(self, layers: Mapping[str, Tensor]) -> None:
        for name, values in layers.items():
            if not ((values == 0) | (values == 1)).all():
                raise ValueError(f"a mask holds 0 and 1 alone; layer {name} holds other values")
        self._layers = {name: values.detach().to(torch.float32) for name, values in layers.items()}

    @classmethod
    def ones(cls, weights: Mapping[str, Tensor]) -> "Mask":
        """The mask that keeps everything (Algorithm 1, line 4)."""
        return cls({name: torch.ones_like(weight) for name, weight in weights.items()})

    def __getitem__(self, name: str) -> Tensor:
        return self._layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def to(self, device: torch.device) -> "Mask":
        """The same mask on a device; this one, where it lies there."""
        if all(values.device == device for values in self._layers.values()):
            return self
        moved = copy(self)  # not made anew: its values are known to be 0 and 1
        moved._layers = {name: values.to(device) for name, values in self._layers.items()}
        return moved

    @property
    def alive(self) -> int:
        """Weights that are kept."""
        return sum(int(values.sum()) for values in self._layers.values())

    @property
    def size(self) -> int:
        """All weights that the mask covers."""
        return sum(values.numel() for values in self._layers.values())

    def density(self) -> dict[str, float]:
        """Share of the weights that are kept: `all`, and by layer."""
        layers = {name: float(values.double().mean()) for name, values in self._layers.items()}
        return {"all": self.alive / self.size, **layers}


def overlap(left: Mask, right: Mask) -> dict[str, dict[str, float]]:
    """How two tasks' masks lie on the hidden layers, by layer and `all`; the output layers are each task's own.

    `jaccard` is the share of the kept weights that both keep, `chance` what independent masks of the same
    densities would give; `shared`, `left_only` and `right_only` are shares of all weights.
    """
    layers: dict[str, tuple[float, float, float, float]] = {}
    for name in left:
        if name != OUTPUT:
            both = float((left[name] * right[name]).sum())
            layers[name] = (both, float(left[name].sum()), float(right[name].sum()), left[name].numel())
    columns = zip(*layers.values(), strict=True)
    whole = {"all": tuple(sum(column) for column in columns), **layers}
    figures: dict[str, dict[str, float]] = {
        name: {} for name in ("jaccard", "chance", "shared", "left_only", "right_only")
    }
    for name, (both, in_left, in_right, size) in whole.items():
        by_chance = in_left * in_right / size
        figures["jaccard"][name] = both / max(in_left + in_right - both, 1.0)
        figures["chance"][name] = by_chance / max(in_left + in_right - by_chance, 1.0)
        figures["shared"][name] = both / size
        figures["left_only"][name] = (in_left - both) / size
        figures["right_only"][name] = (in_right - both) / size
    return figures


def by_input(mask: Mask, columns: Mapping[str, list[int]]) -> Mask:
    """The first hidden layer's mask, parted by what its columns are fed: a part for each field and each cross."""
    return Mask({name: mask["hidden.0"][:, part] for name, part in columns.items()})


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
