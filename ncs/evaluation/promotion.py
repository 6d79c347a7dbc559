"""Whether a candidate may take the champion's place: paired figures on one day's rows, and the rules on them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ncs.config.running import Promote
from ncs.evaluation import paired
from ncs.tasks import Task

Values = Mapping[str, np.ndarray]
"""Task -> float [rows]; of labels NaN where a row has none."""


@dataclass(frozen=True)
class TaskEvidence:
    """A task of a candidate on the rows of a day, beside the champion's where there is one."""

    metric: str
    rows: int
    """With a label."""
    calibration: float | None
    """Mean prediction less mean label, as a share of the mean label; None: no label, or all are 0."""
    value: float | None = None
    reference: float | None = None
    """The champion's figure."""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    """95 % interval of the difference, over the rows."""


def evidence(
    tasks: Mapping[str, Task], labels: Values, candidate: Values, champion: Values | None, rules: Promote
) -> dict[str, TaskEvidence]:
    """Each task's evidence. A task of fewer than `rules.least_rows` labels gets no figures: none would be settled.

    Raises DataError where AUC is asked of labels of one kind alone.
    """
    by_task = {}
    for name, task in tasks.items():
        there = ~np.isnan(labels[name])
        label, rows = labels[name][there].mean() if there.any() else 0.0, int(there.sum())
        calibration = float(candidate[name][there].mean() / label - 1) if label > 0 else None
        if rows < rules.least_rows:
            by_task[name] = TaskEvidence(task.metric, rows, calibration)
            continue
        models = {"candidate": candidate[name], **({"champion": champion[name]} if champion else {})}
        figures = paired.figures(task, labels[name], [models])
        own = figures.mean("candidate").value
        if champion is None:
            by_task[name] = TaskEvidence(task.metric, rows, calibration, own)
            continue
        difference, reference = figures.difference("candidate", "champion"), figures.mean("champion").value
        low, high = difference.over_rows
        by_task[name] = TaskEvidence(task.metric, rows, calibration, own, reference, difference.value, low, high)
    return by_task


def refusals(tasks: Mapping[str, Task], by_task: Mapping[str, TaskEvidence], rules: Promote) -> list[str]:
    """Why a candidate is not promoted: a text for each rule that it fails, with the figure; empty: it is."""
    return [text for name, task in tasks.items() for text in _refusals(task, by_task[name], rules)]


def worse(tasks: Mapping[str, Task], by_task: Mapping[str, TaskEvidence], rules: Promote) -> list[str]:
    """The refusals among these that say of a candidate that it may be worse than the champion (`promote.margin`)."""
    texts = (_worse(task, by_task[name], rules) for name, task in tasks.items())
    return [text for text in texts if text]


def _refusals(task: Task, own: TaskEvidence, rules: Promote) -> list[str]:
    if own.rows < rules.least_rows:
        return [f"{task.name.upper()} has {own.rows:,} labelled rows, promote.least_rows is {rules.least_rows:,}"]
    texts = []
    if own.calibration is None or abs(own.calibration) > rules.max_calibration:
        off = "cannot be computed" if own.calibration is None else f"is {own.calibration:+.1%}"
        texts.append(f"{task.name.upper()} calibration {off}, promote.max_calibration is {rules.max_calibration:.1%}")
    if text := _worse(task, own, rules):
        texts.append(text)
    elif task.name in rules.better and (gain := _least_gain(task, own)) is not None and gain <= 0:
        texts.append(f"{_beside(task, own)}, promote.better asks that it is settled as better")
    return texts


def _worse(task: Task, own: TaskEvidence, rules: Promote) -> str | None:
    gain = _least_gain(task, own)
    if gain is None or own.reference is None or gain >= -(allowed := rules.margin * abs(own.reference)):
        return None
    return f"{_beside(task, own)}, up to {allowed:.5f} worse is allowed (promote.margin {rules.margin:g})"


def _least_gain(task: Task, own: TaskEvidence) -> float | None:
    """The gain over the champion at the worse end of the interval; None: it is unknown."""
    if own.low is None or own.high is None:
        return None
    return own.low if task.measure.more_is_better else -own.high


def _beside(task: Task, own: TaskEvidence) -> str:
    return f"{task.title} differs from the champion's by {own.difference:+.5f} [{own.low:+.5f}, {own.high:+.5f}]"


def summary(tasks: Mapping[str, Task], by_task: Mapping[str, TaskEvidence]) -> str:
    """The evidence in one line, a task after the other."""
    return "; ".join(_summary(tasks[name], own) for name, own in by_task.items())


def _summary(task: Task, own: TaskEvidence) -> str:
    if own.value is None:
        return f"{task.title}: {own.rows:,} labelled rows"
    beside = ""
    if own.difference is not None:
        beside = f" ({own.difference:+.5f} [{own.low:+.5f}, {own.high:+.5f}] from the champion)"
    calibration = "" if own.calibration is None else f", calibration {own.calibration:+.1%}"
    return f"{task.title} {own.value:.5f}{beside}{calibration}, {own.rows:,} rows"
