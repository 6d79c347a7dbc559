"""Pictures of two tasks' masks, a layer each: what both keep, what one keeps alone, what is dead."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ncs.evaluation.models import COLOURS
from ncs.evaluation.svg import svg

DEAD = "#e4e7eb"


def mask_maps(masks: Mapping[str, Any]) -> list[str]:
    """A map a layer of the masks that the tasks were given; none where `masks.json` has none."""
    left, right, *_ = masks["rounds"]
    colours = {"shared": COLOURS[2], f"{left}_only": COLOURS[0], f"{right}_only": COLOURS[1]}
    names = {"shared": "shared", f"{left}_only": f"{left.upper()} only", f"{right}_only": f"{right.upper()} only"}

    def draw(axis: Axes, layer: str, parts: Mapping[str, Any]) -> None:
        axis.imshow(_mixed(parts, colours), aspect="auto", interpolation="nearest")
        axis.set(xlabel="inputs, in the net's order", ylabel="neurons", xticks=[], yticks=[])
        axis.grid(visible=False)
        handles = [Patch(color=colour, label=names[part]) for part, colour in colours.items()]
        axis.figure.legend(handles=[*handles, Patch(color=DEAD, label="dead")], loc="outside lower center", ncols=4)

    maps = masks.get("maps", {})
    return [svg(partial(draw, layer=layer, parts=parts), f"Map of {layer}") for layer, parts in maps.items()]


def subnetworks(masks: Mapping[str, Any]) -> str | None:
    """The base network with both tasks' subnetworks on it; None where `masks.json` has no maps.

    A dot is a patch of neighbouring inputs or neurons. Of each colour there are as many lines as its share of the
    layer's connections asks for, between the patches that have most of it.
    """
    layers = [{part: _thinned(values) for part, values in parts.items()} for parts in masks.get("maps", {}).values()]
    if not layers:
        return None
    left, right, *_ = masks["rounds"]
    names = {"shared": "both", f"{left}_only": f"{left.upper()} alone", f"{right}_only": f"{right.upper()} alone"}
    colours = dict(zip(names, (COLOURS[2], COLOURS[0], COLOURS[1]), strict=True))
    sizes = [np.shape(layers[0]["shared"])[1], *(np.shape(layer["shared"])[0] for layer in layers)]

    def draw(axis: Axes) -> None:
        for n, layer in enumerate(layers):
            for part in names:
                shares = layer[part]
                densest = shares.argsort(axis=None)[::-1][: round(shares.mean() * shares.size)]
                for neuron, place in zip(*np.unravel_index(densest, shares.shape), strict=True):
                    ends = _height(place, sizes[n]), _height(neuron, sizes[n + 1])
                    axis.plot([n, n + 1], ends, color=colours[part], linewidth=0.7, alpha=0.55)
        for n, size in enumerate(sizes):
            axis.plot([n] * size, [_height(m, size) for m in range(size)], "o", color="#5c5c5c", markersize=3)
            axis.text(n, -0.06, "inputs" if n == 0 else f"hidden layer {n}", ha="center", va="top")
        handles = [Line2D([], [], color=colour, label=names[part]) for part, colour in colours.items()]
        axis.figure.legend(handles=handles, loc="outside lower center", ncols=3, title="kept by")
        axis.set_axis_off()
        axis.set(xlim=(-0.25, len(layers) + 0.25), ylim=(-0.15, 1.02))

    return svg(draw, "Two subnetworks of one base network", height=3.6)


_DOTS = 16
"""The most dots of a layer: more lines than these make cannot be told apart."""


def _thinned(values: Sequence[Sequence[float]]) -> np.ndarray:
    """Some patches of a map [neurons, inputs], evenly spread, at most 16 by 16."""
    kept = np.asarray(values)
    for axis in (0, 1):
        count = min(_DOTS, kept.shape[axis])
        kept = kept.take(np.linspace(0, kept.shape[axis] - 1, count).round().astype(int), axis=axis)
    return kept


def _height(place: int, size: int) -> float:
    return 0.5 if size == 1 else place / (size - 1)


def _mixed(parts: Mapping[str, Any], colours: Mapping[str, str]) -> np.ndarray:
    """Colours [neurons, inputs, 3] of patches, mixed as their connections are."""
    mixed = np.ones((*np.shape(parts["shared"]), 3)) * to_rgb(DEAD)
    for part, values in parts.items():  # what a part has is not dead
        mixed += np.asarray(values)[..., None] * (np.array(to_rgb(colours[part])) - to_rgb(DEAD))
    return np.clip(mixed, 0, 1)
