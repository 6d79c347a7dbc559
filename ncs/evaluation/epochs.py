"""How many epochs a model's final weights have seen, by its `metrics.jsonl`: what makes training budgets comparable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ncs.config import Config
from ncs.metrics import METRICS
from ncs.tasks import Task, in_order, tasks_of

_Lines = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Budget:
    """The training that a task's final weights have seen."""

    epochs: float
    """Theta's included, up to the epoch that validation has chosen; a refit is of as many."""
    capped: bool
    """Whether `train.epochs` ended the training before `train.patience` would have."""


def budgets(lines: _Lines, conf: Config) -> dict[str, Budget]:
    """Each task's budget, in the order of Table 2; nothing for a model that is not trained in epochs, as trees are.

    Args:
        lines: of the model's `metrics.jsonl`.
        conf: what the model was trained with, `Config.of_model`.
    """
    tasks = in_order(tasks_of(conf).values())
    found = {task.name: _budget(lines, task, conf.train.epochs, conf.train.patience) for task in tasks}
    return {name: one for name, one in found.items() if one is not None}


def _budget(lines: _Lines, task: Task, most: int, patience: int) -> Budget | None:
    joint = [line for line in lines if _is_of(line, "joint", task) and line["loss"]]
    if not joint:
        return None
    kept = _best(joint, task.score)
    # Another task of the same training may get better for longer: it stops when none does.
    newest = max(_best(joint, score) for score in joint[0]["validation"])
    last = max(line["epoch"] for line in joint)
    whole = max(line["samples"] for line in joint)
    theta = sum(line["samples"] for line in lines if _is_of(line, "theta", task)) / max(whole, 1)
    return Budget(theta + kept, last >= most and last - newest < patience)


def _is_of(line: Mapping[str, Any], phase: str, task: Task) -> bool:
    return line["phase"] == phase and task.score in line["validation"]


def _best(joint: _Lines, score: str) -> int:
    """The epoch that is kept: the first of those with the best figure."""
    sign = 1 if METRICS[score.partition("_")[2]].more_is_better else -1
    return int(max(joint, key=lambda line: (sign * line["validation"][score], -line["epoch"]))["epoch"])


def unequal(found: Mapping[str, Mapping[str, Budget]]) -> bool:
    """Whether models have seen a task's rows for different numbers of epochs."""
    by_task: dict[str, list[float]] = {}
    for of_tasks in found.values():
        for task, one in of_tasks.items():
            by_task.setdefault(task, []).append(one.epochs)
    return any(max(epochs) - min(epochs) > 0.01 for epochs in by_task.values())


def in_words(found: Mapping[str, Mapping[str, Budget]]) -> str:
    """The epochs of each model that is trained in epochs, by task."""
    listed = {
        model: ", ".join(f"{task.upper()} {one.epochs:.3g}" for task, one in of.items()) for model, of in found.items()
    }
    return "; ".join(f"{model} {text}" for model, text in listed.items() if text)
