"""Facts of trained models: epochs that their weights have seen, costs, and which are unsound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from ncs.config import Config
from ncs.lake.tables.rows import Figure
from ncs.metrics import METRICS
from ncs.soundness import WORDS, Soundness, judge_figure, unsound
from ncs.tasks import Task, in_order, named_tasks

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
        conf: what the model was trained with, `Config.for_model`.
    """
    tasks = in_order(named_tasks(conf).values())
    by_task = {task.name: _budget(lines, task, conf.train.epochs, conf.train.patience) for task in tasks}
    return {name: budget for name, budget in by_task.items() if budget is not None}


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


def unequal(by_model: Mapping[str, Mapping[str, Budget]]) -> bool:
    """Whether models have seen a task's rows for different numbers of epochs."""
    by_task: dict[str, list[float]] = {}
    for of_tasks in by_model.values():
        for task, budget in of_tasks.items():
            by_task.setdefault(task, []).append(budget.epochs)
    return any(max(epochs) - min(epochs) > 0.01 for epochs in by_task.values())


def in_words(by_model: Mapping[str, Mapping[str, Budget]]) -> str:
    """The epochs of each model that is trained in epochs, by task."""
    listed = {
        model: ", ".join(f"{task.upper()} {budget.epochs:.3g}" for task, budget in of.items())
        for model, of in by_model.items()
    }
    return "; ".join(f"{model} {text}" for model, text in listed.items() if text)


_SLOW = 2.0
"""How many times slower than the median a phase goes through its samples before it is marked."""


def costs(trained: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """A row a model and phase: epochs, samples, seconds, samples a second, the share of the time spent on waiting.

    `slow`: whether it ran less than half as fast as the median of the run's phases of the same tasks, as on a machine
    with other work; its seconds are then no fair measure of the model.

    Args:
        trained: model -> the lines of its `metrics.jsonl`.
    """
    rows = [row for model, lines in trained.items() for row in _phases(model, lines)]
    for row in rows:
        alike = [other["rate"] for other in rows if _kind(other) == _kind(row)]
        row["slow"] = row["rate"] * _SLOW < median(alike)
    return rows


def _kind(row: Mapping[str, Any]) -> tuple[str | None, bool]:
    """Phases whose speeds compare: of the same task, all by steps, or all by trees, which see the rows once a tree."""
    return row["task"], row["phase"].startswith("trees")


def _phases(model: str, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    phases = []
    for phase, task in dict.fromkeys((line["phase"], line["task"]) for line in lines):
        mine = [line for line in lines if (line["phase"], line["task"]) == (phase, task)]
        seconds = max(sum(line["seconds"] for line in mine), 1e-9)
        samples = sum(line["samples"] for line in mine)
        phases.append(
            {
                "model": model,
                "phase": f"{phase}, {task.upper()}" if task else phase,
                "task": task,
                "epochs": len(mine),
                "samples": samples,
                "seconds": seconds,
                "rate": samples / seconds,
                "waited": sum(line["wait_share"] * line["seconds"] for line in mine) / seconds,
            }
        )
    return phases


def unsound_models(
    figures: Sequence[Figure], facts: Mapping[str, Mapping[str, Any] | None], tasks: Sequence[Task]
) -> dict[str, str]:
    """Model -> why its figures are no result, task by task; a model that is not there may be used.

    Args:
        figures: on the test rows.
        facts: model -> its `facts.json`, or None for a model of a version without facts.
        tasks: those that the models are judged on.
    """
    by_key = {(figure.model, figure.task, figure.metric): figure for figure in figures}
    texts: dict[str, str] = {}
    for model, of_model in facts.items():
        why = {
            name: f"{text}, on the validation rows" for name, text in unsound(of_model, [task.name for task in tasks])
        }
        for task in tasks:
            figure = by_key.get((model, task.name, task.metric))
            judged = judge_figure(task, figure.value) if figure else Soundness.SOUND
            if judged != Soundness.SOUND:
                why.setdefault(task.name, f"{WORDS[judged]}, on the test rows")
        if why:
            texts[model] = "; ".join(f"{name.upper()}: {text}" for name, text in why.items())
    return texts
