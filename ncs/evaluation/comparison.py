"""A comparison of models over several seeds: rows for Delta, and a table in the form of the paper's Table 2."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ncs.evaluation.paired import Figures, difference
from ncs.evaluation.paper import TABLE_2
from ncs.evaluation.verdict import Evidence, baseline_of, oriented
from ncs.lake.tables.rows import SeedDifference
from ncs.metrics import METRICS, judging
from ncs.soundness import unsound
from ncs.tasks import Task, in_order
from ncs.text import markdown


@dataclass(frozen=True)
class Compared:
    """One model: the keys that tuning set, what training said of each seed's run, each task's figures."""

    model: str
    tuned: Mapping[str, Any]
    facts: Sequence[Mapping[str, Any]]
    figures: Mapping[str, Figures]

    def mean(self, fact: str) -> float:
        """A fact's mean over the seeds."""
        return float(np.mean([one[fact] for one in self.facts]))


def differences(
    compared: Sequence[Compared], tasks: Mapping[str, Task], references: Sequence[str] | None = None
) -> list[SeedDifference]:
    """For each model, task and other reference, by default each other model: the difference with its intervals."""
    names = [one.model for one in compared]
    figures = {name: {one.model: one.figures[name] for one in compared} for name in tasks}
    return [
        difference(model, reference, task, task.measure, figures[task.name])
        for model in names
        for task in tasks.values()
        for reference in (names if references is None else references)
        if reference in names and reference != model
    ]


def as_table(compared: Sequence[Compared], tasks: Mapping[str, Task], references: Sequence[str]) -> str:
    """The comparison as a Markdown table, which reads well as text too.

    A model a line: each task's mean figure, its differences from the references with 95 % intervals, more is better,
    and in words where they are settled; what it costs.
    """
    found = {(one.model, one.task, one.reference): one for one in differences(compared, tasks, references)}
    there = [name for name in references if any(one.model == name for one in compared)]
    order = in_order(tasks.values())
    seconds = next((one.mean("seconds") for one in compared if one.model == there[0]), None) if there else None
    header = ["model"]
    for task in order:
        header += [task.title, "paper", *(f"from {name}" for name in there)]
    lines = [[*header, "parameters", "density", "time"]]
    for one in compared:
        line = [one.model]
        for task in order:
            paper = TABLE_2.get(one.model, {}).get(task.name)
            line += [f"{one.figures[task.name].value:.5f}", f"{paper:.5f}" if paper else ""]
            line += [_difference(found.get((one.model, task.name, name)), task) for name in there]
        times = f"{one.mean('seconds') / seconds:.1f}" if seconds else ""
        lines.append([*line, f"{one.mean('parameters'):,.0f}", f"{one.mean('density'):.2f}", times])
    return markdown(lines)


def _difference(one: SeedDifference | None, task: Task) -> str:
    if one is None:
        return ""
    value, *ends = (oriented(one, value) / task.measure.unit for value in (one.difference, one.low, one.high))
    settled = {None: "", True: " better", False: " worse"}[one.better]
    return f"{value:+.0f} [{min(ends):+.0f}, {max(ends):+.0f}]{settled}"


def legend(references: Sequence[str], seeds: int) -> str:
    """What the table's columns mean."""
    measures = sorted((METRICS[name] for name in judging()), key=lambda metric: metric.unit)
    units = " and ".join(f"{metric.unit:.0e} ({metric.title})".replace("e-0", "e-") for metric in measures)
    return (
        f"Means over {seeds} seeds on the test days. Differences in {units}, more is better, with 95 % intervals over "
        f"seeds and paired resamples of the impressions; better, worse: where the interval excludes zero, nothing is "
        f"claimed elsewhere. paper: its Table 2, on its own logs. time: of training, search included, as a multiple of "
        f"{references[0] if references else 'nothing'}; density: of the FC weights a task uses."
    )


def evidence(
    compared: Sequence[Compared],
    tasks: Mapping[str, Task],
    references: Sequence[str],
    rows: int,
    champion: Compared | None = None,
) -> Evidence:
    """What the verdict on a comparison is made from; a model is unsound if one of its seeds was.

    `champion`: the model in service as it stands, on the same rows.
    """
    names, seeds = [one.model for one in compared], len(compared[0].facts)
    why = {
        one.model: f"{task.upper()}, {text}"
        for one in compared
        for facts in one.facts
        for task, text in unsound(facts, tasks)
    }
    base = baseline_of(names, references)
    beside = [champion] if champion else []
    found = [one for one in differences([*compared, *beside], tasks) if one.model in names]
    name = champion.model if champion else None
    return Evidence(names, found, list(tasks.values()), base, rows, seeds, why, champion=name)
