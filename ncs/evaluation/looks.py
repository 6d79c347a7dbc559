"""How a model looks: one colour and one marker by its name, in every picture of every page and notebook."""

import zlib
from typing import NamedTuple

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#c2569a", "#b07a00", "#7a5fc0", "#7d838c")
"""Near Okabe and Ito's, which the colour-blind can tell apart; contrast at least 3 on the light and the dark page."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*")
GREY = "#8a8f98"
_ORDER = (
    "single_task",
    "layer_share",
    "connection_share",
    "neuron_share",
    "full_share",
    "gbdt",
    "sparse_share",
    "lottery_ticket",
    "connection_share_wide",
    "mmoe",
    "ple",
    "esmm",
    "snr_trans",
    "movement_share",
    "random_masks",
    "layer_share_wide",
    "esm2",
    "ple_2",
    "snr_aver",
    "full_share_theta",
    "layer_share_theta",
    "layer_share_pruned",
    "single_task_dot",
    "distance_share",
    "fisher_share",
    "priced_share",
    "disjoint_share",
    "dimension_share",
    "read_share",
    "owned_share",
    "split_share",
    "split_towers",
    "learnt_share",
    "staged_share",
    "snr_trans_fast",
    "adatt",
    "adatt_2",
    "home",
    "stem",
    "aitm",
    "cvr_mask_for_all",
    "swapped_masks",
    "wide_towers",
    "owned_share_12",
    "multi_embedding",
    "split_none",
    "layer_share_12",
    "dimension_random",
    "staged_random",
    "staged_unread",
    "wide_random_masks",
    "layer_share_gbdt",
    "single_task_gbdt",
    "connection_share_gbdt",
)
"""The catalogue, the most compared first, so that no two of the first seven have a colour in common."""


class Look(NamedTuple):
    """A colour, as #rrggbb, and a marker, as matplotlib names it."""

    colour: str
    marker: str


def look(model: str) -> Look:
    """The look of a model, whichever others are drawn beside it; that of an unknown name follows from the name."""
    at = _ORDER.index(model) if model in _ORDER else len(_ORDER) + zlib.crc32(model.encode())
    return Look(COLOURS[at % len(COLOURS)], MARKERS[(at + at // len(COLOURS)) % len(MARKERS)])
