"""Masks and gradient conflicts as rows of gold/masks: one figure per row, for SQL and the notebooks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ncs.lake.tables.rows import MaskFigure


def mask_figures(masks: Mapping[str, Any], conflict: Mapping[str, Any] | None) -> Iterator[MaskFigure]:
    """The figures of a model, of its `masks.json` and `conflict.json`.

    density: share of the connections kept. validation: the task's figure under the round's mask, where it was taken.
    chosen: 1 at the chosen round. jaccard, chance, shared, <task>_only: see `ncs.pruning.mask.overlap`. containment,
    containment_chance, <task>_exclusive: see `nesting`. cosine_theta, cosine_final, negative_theta, negative_final: see
    `ncs.methods.conflict`.
    """
    for task, rounds in masks["rounds"].items():
        for pruned in rounds:
            yield from _by_layer(task, pruned["round"], "density", pruned["density"])
            if pruned["validation"] is not None:
                yield MaskFigure(task, pruned["round"], "all", None, "validation", pruned["validation"])
        yield MaskFigure(task, masks["chosen"][task], "all", None, "chosen", 1.0)
    for task, density in masks["density"].items():
        yield from _by_layer(task, None, "density", density)
    left, right, *_ = masks["rounds"]
    pair = f"{left}+{right}"
    for overlap in masks["overlap"]:
        for figure in ("jaccard", "chance"):
            yield from _by_layer(pair, overlap["round"], figure, overlap[figure])
    tasks = list(masks["rounds"])
    for figure, by_layer in (masks["chosen_overlap"] | nesting(masks["chosen_overlap"], tasks)).items():
        yield from _by_layer(pair, None, figure, by_layer)
    inputs = masks.get("inputs", {})  # runs of older versions have none
    for figure, by_input in (inputs | nesting(inputs, tasks)).items():
        for name, value in by_input.items():
            yield MaskFigure(pair, None, "hidden.0", name, figure, value)
    for when, by_layer in (conflict or {}).items():
        for layer, figures in by_layer.items():
            for figure, value in figures.items():
                yield MaskFigure(pair, None, layer, None, f"{figure}_{when}", value)


def nesting(overlap: Mapping[str, Mapping[str, float]], tasks: Sequence[str]) -> dict[str, dict[str, float]]:
    """How far the first two tasks' masks lie within each other, by layer or input, from the shares of an overlap.

    containment: share of the sparser mask's connections that the denser keeps too; containment_chance: that of
    independent masks of the same densities; <task>_exclusive: share of a task's own connections that the other does not
    keep. Layers in which a mask keeps nothing have none.
    """
    if not overlap:
        return {}
    left, right, *_ = tasks
    figures = ("containment", "containment_chance", f"{left}_exclusive", f"{right}_exclusive")
    nested: dict[str, dict[str, float]] = {figure: {} for figure in figures}
    for layer, shared in overlap["shared"].items():
        own = [shared + overlap[f"{task}_only"][layer] for task in (left, right)]
        if min(own) > 0:
            values = (shared / min(own), max(own), *(1 - shared / kept for kept in own))
            for figure, value in zip(figures, values, strict=True):
                nested[figure][layer] = value
    return nested


def _by_layer(task: str, number: int | None, figure: str, by_layer: Mapping[str, float]) -> Iterator[MaskFigure]:
    for layer, value in by_layer.items():
        yield MaskFigure(task, number, layer, None, figure, value)


def note(masks: Mapping[str, Any]) -> str:
    """What is particular to these masks, beside the page's general text."""
    sentences = []
    if any(pruned["validation"] is None for rounds in masks["rounds"].values() for pruned in rounds):
        sentences.append("The last round was taken unseen: a dashed line marks it.")
    given = masks["density"]
    if not given:
        sentences.append("A control: in the end no task was given a mask.")
    elif any(given[task] != rounds[masks["chosen"][task]]["density"] for task, rounds in masks["rounds"].items()):
        listed = ", ".join(f"{task.upper()} {shares['all']:.0%}" for task, shares in given.items())
        sentences.append(f"A control: the masks given in the end are others than those found; they keep {listed}.")
    return " ".join([*sentences, *_nested(masks)])


def _nested(masks: Mapping[str, Any]) -> list[str]:
    """How far the masks lie within each other, where the tasks were given masks."""
    tasks = list(masks["rounds"])[:2]
    nested = {figure: by_layer.get("all") for figure, by_layer in nesting(masks["chosen_overlap"], tasks).items()}
    if nested.get("containment") is None:
        return []
    own = ", ".join(f"{task.upper()} {nested[f'{task}_exclusive']:.0%}" for task in tasks)
    return [
        f"The denser mask holds {nested['containment']:.0%} of the sparser one's connections "
        f"({nested['containment_chance']:.0%} at random). Of a task's own connections the other does not keep: {own}."
    ]
