"""How models are shown: their names, what each is in one line, its colour, and what the paper found of some."""

import ast
import re
import zlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ncs import config
from ncs.config import Config

BASELINE = "single_task"
TRUTH = "truth"
"""The model whose predictions, of CTR and CVR alone, are the generator's own: the reachable end, not a competitor."""
LONGEST = 60
"""Characters of a name in a legend."""
_MODELS = Path(__file__).parent.parent / "models"
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    """A text without the characters that XML cannot hold."""
    return _UNPRINTABLE.sub("\ufffd", text)


def legend_name(name: str) -> str:
    """A name in one line, not too long. matplotlib leaves out those that start with _, so a space of no width does."""
    name = " ".join(name.split())
    name = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    return f"\u200b{name}" if name.startswith("_") else name


def features_in_short(conf: Config) -> str:
    """How many features there are of which section."""
    statistics = sum(len(group.fields) for group in conf.statistics)
    histories = len(conf.features) - len(conf.fields) - statistics
    counted = {"fields": len(conf.fields), "statistics": statistics, "histories": histories}
    return ", ".join(f"{count} {name}" for name, count in counted.items() if count)


def what_it_is(model: str, conf: Config) -> str:
    """A model of the configuration's catalogue in one line; empty where the catalogue does not name it."""
    variant = conf.models.get(model)
    if variant is None:
        return ""
    keys = "; ".join(f"{key}: {value}" for key, value in variant.set.items())
    return f"{_first_line(variant.module or model)}{f' Here with {keys}.' if keys else ''}"


@cache
def _first_line(module: str) -> str:
    """The source is read, not imported: models import torch, which pages do without."""
    documented = ast.get_docstring(ast.parse((_MODELS / f"{module}.py").read_text(encoding="utf-8"))) or ""
    return documented.partition("\n")[0]


COLOURS = ("#0072b2", "#d55e00", "#009e73", "#c2569a", "#b07a00", "#7a5fc0", "#7d838c")
"""Near Okabe and Ito's, which the colour-blind can tell apart; contrast at least 3 on the light and the dark page."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*")
GREY = "#8a8f98"
_COMPARED = (
    "single_task",
    "layer_share",
    "connection_share",
    "neuron_share",
    "full_share",
    "gbdt",
    "layer_share_gbdt",
)
"""The models that are compared most, no two of them in the same colour."""


class Look(NamedTuple):
    """A colour, as #rrggbb, and a marker, as matplotlib names it."""

    colour: str
    marker: str


def look(model: str) -> Look:
    """The look of a model, whichever others are drawn beside it; that of an unknown name follows from the name."""
    order = _order()
    at = order.index(model) if model in order else len(order) + zlib.crc32(model.encode())
    return Look(COLOURS[at % len(COLOURS)], MARKERS[(at + at // len(COLOURS)) % len(MARKERS)])


@cache
def _order() -> list[str]:
    """The models that are compared most, then the rest of the package's catalogue."""
    return list(dict.fromkeys([*_COMPARED, *config.packaged_models()]))


TABLE_2 = {
    "single_task": {"cvr": 0.13688, "ctr": 0.78572},
    "layer_share": {"cvr": 0.13563, "ctr": 0.78808},
    "connection_share": {"cvr": 0.13226, "ctr": 0.78874},
    "neuron_share": {"cvr": 0.13531, "ctr": 0.78346},
}
"""CVR MSE and CTR AUC by model, on its own logs (section 3.2)."""

TABLE_3 = {
    ("single_task", "single_task"): {"view_seconds": 491.3, "cvr": 0.549, "ctr": 0.247},
    ("single_task", "layer_share"): {"view_seconds": 481.6, "cvr": 0.550, "ctr": 0.248},
    ("single_task", "connection_share"): {"view_seconds": 498.6, "cvr": 0.551, "ctr": 0.247},
    ("connection_share", "connection_share"): {"view_seconds": 497.1, "cvr": 0.553, "ctr": 0.248},
}
"""View seconds, CVR and CTR by the models of pCTR and pCVR, on its own platform (section 3.2)."""
