"""Whether a trained task is fit to be served: one judgement for the log, the report, export and promotion.

Constant predictions, and a figure that is exactly chance or exactly perfect, are no result: they come from a layer
without connections, random labels, or a feature that leaks the label. Imported by both halves.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

from ncs.tasks import Task


class Soundness(StrEnum):
    """The verdict on a trained task; with any but SOUND it is not served."""

    SOUND = "sound"
    CONSTANT = "constant"
    CHANCE = "chance"
    PERFECT = "perfect"


WORDS = {
    Soundness.CONSTANT: "all predictions are one value, so nothing was learnt that ranks",
    Soundness.CHANCE: "its figure is exactly that of chance, so nothing was learnt",
    Soundness.PERFECT: "its figure is exactly perfect, as where a feature knows the label",
}


def judge(skill: float, lowest: float | None = None, highest: float | None = None) -> Soundness:
    """Judge a task by its skill (0: a constant prediction, 1: a perfect one) and, where known, its predictions' range.

    An AUC of exactly 0 is as suspect as one of 1.
    """
    if lowest is not None and lowest == highest:
        return Soundness.CONSTANT
    if skill == 0:
        return Soundness.CHANCE
    return Soundness.PERFECT if skill in (1, -1) else Soundness.SOUND


def judge_figure(task: Task, value: float) -> Soundness:
    """Judge by a figure in the task's own metric alone."""
    return judge(task.measure.skill(value))


def unsound(facts: Mapping[str, Any] | None, tasks: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The tasks that are unsound by a model's `facts.json`, and why; none for a model of a version without facts."""
    judged = (facts or {}).get("tasks", {})
    for task in tasks:
        verdict = Soundness(judged.get(task, {}).get("soundness", Soundness.SOUND))
        if verdict != Soundness.SOUND:
            yield task, WORDS[verdict]
