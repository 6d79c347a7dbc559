"""What training has left of masks and conflicts, as rows of gold/masks: one figure a row, for SQL and the notebooks."""

from collections.abc import Iterator, Mapping
from typing import Any

from ncs.lake.tables.rows import MaskFigure


def mask_figures(masks: Mapping[str, Any], conflict: Mapping[str, Any] | None) -> Iterator[MaskFigure]:
    """The figures of a model, of its `masks.json` and `conflict.json`.

    density: share of the connections kept. validation: the task's figure under the round's mask, where it was taken.
    chosen: 1 at the chosen round. jaccard, chance, containment, shared, <task>_only: see `ncs.pruning.mask.overlap`.
    cosine_theta, cosine_final, negative_theta, negative_final: see `ncs.methods.conflict`.
    """
    for task, rounds in masks["rounds"].items():
        for one in rounds:
            yield from _by_layer(task, one["round"], "density", one["density"])
            if one["validation"] is not None:
                yield MaskFigure(task, one["round"], "all", None, "validation", one["validation"])
        yield MaskFigure(task, masks["chosen"][task], "all", None, "chosen", 1.0)
    for task, density in masks["density"].items():
        yield from _by_layer(task, None, "density", density)
    left, right, *_ = masks["rounds"]
    pair = f"{left}+{right}"
    for one in masks["overlap"]:
        for figure in ("jaccard", "chance", "containment"):
            yield from _by_layer(pair, one["round"], figure, one.get(figure) or {})  # older runs have no containment
    for figure, by_layer in masks["chosen_overlap"].items():
        yield from _by_layer(pair, None, figure, by_layer)
    for figure, by_input in masks.get("inputs", {}).items():  # runs of older versions have none
        for name, value in by_input.items():
            yield MaskFigure(pair, None, "hidden.0", name, figure, value)
    for when, by_layer in (conflict or {}).items():
        for layer, found in by_layer.items():
            for figure, value in found.items():
                yield MaskFigure(pair, None, layer, None, f"{figure}_{when}", value)


def _by_layer(task: str, number: int | None, figure: str, by_layer: Mapping[str, float]) -> Iterator[MaskFigure]:
    for layer, value in by_layer.items():
        yield MaskFigure(task, number, layer, None, figure, value)
