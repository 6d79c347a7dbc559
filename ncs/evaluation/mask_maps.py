"""Pictures of two tasks' masks, a layer each: what both keep, what one keeps alone, what is dead."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from ncs.evaluation.charts import COLOURS, svg

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

    found = masks.get("maps", {})
    return [svg(partial(draw, layer=layer, parts=parts), f"Map of {layer}") for layer, parts in found.items()]


def _mixed(parts: Mapping[str, Any], colours: Mapping[str, str]) -> np.ndarray:
    """Colours [neurons, inputs, 3] of patches, mixed as their connections are."""
    mixed = np.ones((*np.shape(parts["shared"]), 3)) * to_rgb(DEAD)
    for part, values in parts.items():  # what a part has is not dead
        mixed += np.asarray(values)[..., None] * (np.array(to_rgb(colours[part])) - to_rgb(DEAD))
    return np.clip(mixed, 0, 1)
