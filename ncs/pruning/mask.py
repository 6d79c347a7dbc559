"""A mask: for every maskable weight 1 (kept) or 0 (pruned), by layer; how two masks overlap."""

from collections.abc import Iterator, Mapping
from copy import copy

import torch
from torch import Tensor
from torch.nn import functional as F

OUTPUT = "output"
"""The name of a task's own output layer in its mask; the others are `hidden.<n>`."""
ROWS, COLUMNS = 32, 64
"""The largest size of a map: patches of neurons, patches of inputs."""

Map = list[list[float]]
"""The share of each patch's connections, [patches of neurons, patches of inputs]."""


class Mask(Mapping[str, Tensor]):
    """Layer name -> float tensor of the weight's shape, of 0 and 1 only."""

    def __init__(self, layers: Mapping[str, Tensor]) -> None:
        for name, values in layers.items():
            if not ((values == 0) | (values == 1)).all():
                raise ValueError(f"a mask has only 0 and 1 as values; layer {name} has others")
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
        """The mask on a device; itself, if it is already there."""
        if all(values.device == device for values in self._layers.values()):
            return self
        moved = copy(self)  # without the check of a new mask: the values are known to be 0 and 1
        moved._layers = {name: values.to(device) for name, values in self._layers.items()}
        return moved

    @property
    def alive(self) -> int:
        """The number of weights that are kept."""
        return sum(int(values.sum()) for values in self._layers.values())

    @property
    def size(self) -> int:
        """The number of weights that the mask covers."""
        return sum(values.numel() for values in self._layers.values())

    def density(self) -> dict[str, float]:
        """Share of the weights that are kept: `all`, and by layer."""
        layers = {name: float(values.double().mean()) for name, values in self._layers.items()}
        return {"all": self.alive / self.size, **layers}


def overlap(left: Mask, right: Mask) -> dict[str, dict[str, float]]:
    """How two tasks' masks overlap, by hidden layer and `all`; the output layers are each task's own.

    `jaccard` is the share of the kept weights that both keep, `chance` that of independent masks of the same densities;
    `shared`, `left_only` and `right_only` are shares of all weights.
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
        expected = in_left * in_right / size
        figures["jaccard"][name] = both / max(in_left + in_right - both, 1.0)
        figures["chance"][name] = expected / max(in_left + in_right - expected, 1.0)
        figures["shared"][name] = both / size
        figures["left_only"][name] = (in_left - both) / size
        figures["right_only"][name] = (in_right - both) / size
    return figures


def by_input(mask: Mask, columns: Mapping[str, list[int]]) -> Mask:
    """The first hidden layer's mask, split by input: for each field and each cross its columns."""
    return Mask({name: mask["hidden.0"][:, own_columns] for name, own_columns in columns.items()})


def maps(left: Mask, right: Mask) -> dict[str, dict[str, Map]]:
    """Layer -> `shared`, `left_only`, `right_only` -> map, for a picture; the output layers are each task's own.

    Neurons and inputs are in the net's order, so that a patch of the first layer has neighbouring input columns.
    """
    by_layer = {}
    for name in left:
        if name != OUTPUT:
            both = left[name] * right[name]
            by_layer[name] = {
                "shared": _map(both),
                "left_only": _map(left[name] - both),
                "right_only": _map(right[name] - both),
            }
    return by_layer


def _map(kept: Tensor) -> Map:
    """Means over patches of 0 and 1, [neurons, inputs]."""
    neurons, inputs = kept.shape
    shares = F.adaptive_avg_pool2d(kept[None], (min(neurons, ROWS), min(inputs, COLUMNS)))[0]
    return [[round(share, 3) for share in row] for row in shares.tolist()]
