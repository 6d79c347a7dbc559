"""A comparison of models over several seeds: rows for Delta, and tables in the form of the paper's Table 2."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from ncs.evaluation.models import TABLE_2
from ncs.evaluation.paired import LEVEL, Figures, difference, holm
from ncs.evaluation.trained import Budget
from ncs.evaluation.verdict import Evidence, choose_baseline, oriented
from ncs.lake.tables.rows import SeedDifference
from ncs.metrics import METRICS, Metric
from ncs.soundness import unsound
from ncs.tasks import Task, in_order
from ncs.text import markdown


@dataclass(frozen=True)
class Compared:
    """One model: the keys that tuning set, what training said of each seed's run, the epochs that each has seen."""

    model: str
    tuned: Mapping[str, Any]
    facts: Sequence[Mapping[str, Any]]
    budgets: Sequence[Mapping[str, Budget]] = ()
    """By seed, task -> budget; of a model that is not trained in epochs empty ones."""

    def mean(self, fact: str) -> float:
        """A fact's mean over the seeds."""
        return float(np.mean([facts[fact] for facts in self.facts]))

    @property
    def epochs(self) -> dict[str, float]:
        """By task, how many epochs its final weights have seen, mean over the seeds."""
        tasks = self.budgets[0] if self.budgets else ()
        return {task: float(np.mean([budgets[task].epochs for budgets in self.budgets])) for task in tasks}

    @property
    def capped(self) -> int:
        """The number of seeds whose training `train.epochs` ended, not `train.patience`."""
        return sum(any(budget.capped for budget in of_tasks.values()) for of_tasks in self.budgets)


@dataclass(frozen=True)
class Judged:
    """A metric of a task in which all models are compared, with their figures."""

    task: Task
    metric: Metric
    figures: Figures

    @property
    def title(self) -> str:
        """For readers, e.g. `CVR MSE`."""
        return f"{self.task.name.upper()} {self.metric.title}"

    @property
    def key(self) -> tuple[str, str]:
        """The names of task and metric."""
        return self.task.name, self.metric.name

    def of(self, difference: SeedDifference) -> bool:
        """Whether a difference is in this metric of this task."""
        return (difference.task, difference.metric) == self.key


def differences(
    compared: Sequence[Compared], judged: Sequence[Judged], references: Sequence[str] | None = None
) -> list[SeedDifference]:
    """For each model, task, metric and other reference, by default each other model: the difference with its intervals.

    All from one reference by labels are looked at together, and all against the truth: `better` is settled by Holm's
    correction over them.
    """
    names = [model.model for model in compared]
    rows = []
    for reference in names if references is None else references:
        for truth in (False, True):
            family = [
                difference(model, reference, measure.task, measure.metric, measure.figures)
                for model in names
                for measure in judged
                if reference in measure.figures.models and reference != model and measure.metric.of_truth is truth
            ]
            rows += _corrected(family, judged)
    return sorted(rows, key=lambda row: names.index(row.model))


def _corrected(family: Sequence[SeedDifference], judged: Sequence[Judged]) -> list[SeedDifference]:
    """Differences that are looked at together, settled where they are by Holm's correction."""
    corrected = []
    for row, p in zip(family, holm([row.p for row in family if row.p is not None]), strict=True):
        better = METRICS[row.metric].better(row.difference, 0.0) if p <= LEVEL else None
        (measure,) = (measure for measure in judged if measure.of(row))
        smallest = measure.figures.difference(row.model, row.reference).smallest(LEVEL / len(family))
        corrected.append(replace(row, better=better, p_holm=p, smallest_holm=smallest))
    return corrected


def as_table(
    compared: Sequence[Compared],
    judged: Sequence[Judged],
    differences: Sequence[SeedDifference],
    references: Sequence[str],
    costs: bool = True,
) -> str:
    """The comparison as a Markdown table, which reads well as text too.

    A model a line: each metric's mean figure, its differences from the references with 95 % intervals, more is better,
    and in words where they are settled; with `costs` what it costs.
    """
    by_key = {(row.model, row.task, row.metric, row.reference): row for row in differences}
    there = [name for name in references if any(model.model == name for model in compared)]
    header = ["model"]
    for measure in judged:
        header += [measure.title, *(["paper"] if _in_paper(measure) else []), *(f"from {name}" for name in there)]
    lines = [[*header, *(["epochs", "parameters", "density", "time"] if costs else [])]]
    for model in compared:
        line = [model.model]
        for measure in judged:
            line.append(f"{measure.figures.mean(model.model).value:.5f}")
            if _in_paper(measure):
                paper = TABLE_2.get(model.model, {}).get(measure.task.name)
                line.append(f"{paper:.5f}" if paper else "")
            keys = [(model.model, *measure.key, name) for name in there]
            line += [_difference(by_key.get(key), measure.metric) for key in keys]
        lines.append([*line, *(_costs(model, compared, there) if costs else [])])
    return markdown(lines)


def _costs(model: Compared, compared: Sequence[Compared], references: Sequence[str]) -> list[str]:
    seconds = [other.mean("seconds") for other in compared if [other.model] == references[:1]]
    times = f"{model.mean('seconds') / seconds[0]:.1f}" if seconds and seconds[0] else ""
    epochs = " ".join(f"{count:.1f}" for count in model.epochs.values())
    return [epochs, f"{model.mean('parameters'):,.0f}", f"{model.mean('density'):.2f}", times]


def _in_paper(measure: Judged) -> bool:
    """Whether the paper's Table 2 has figures of the same kind."""
    return measure.metric.name == measure.task.metric


def _difference(row: SeedDifference | None, metric: Metric) -> str:
    if row is None:
        return ""
    value, *ends = (oriented(row, value) / metric.unit for value in (row.difference, row.low, row.high))
    settled = {None: "", True: " better", False: " worse"}[row.better]
    return f"{value:+.0f} [{min(ends):+.0f}, {max(ends):+.0f}]{settled}"


def smallest(judged: Sequence[Judged], differences: Sequence[SeedDifference], references: Sequence[str]) -> str:
    """The smallest true differences that such a comparison settles four times in five, a line a reference."""
    lines = []
    for name in references:
        mine = [row for row in differences if row.reference == name]
        texts = [_settles(measure, [row for row in mine if measure.of(row)]) for measure in judged] if mine else []
        lines += [f"  from {name}: {', '.join(texts)}"] if texts else []
    said = "Smallest true difference that is settled four times in five, among all (in brackets: looked at alone):"
    return "\n".join([said, *lines]) if lines else ""


def _settles(measure: Judged, differences: Sequence[SeedDifference]) -> str:
    together, alone = medians(differences)
    return f"{measure.title} {together / measure.metric.unit:.0f} ({alone / measure.metric.unit:.0f})"


def medians(differences: Sequence[SeedDifference]) -> tuple[float, float]:
    """The smallest differences that can be settled, among all and looked at alone: medians over the models."""
    together = [row.smallest_holm for row in differences if row.smallest_holm is not None]
    return median(together), median(row.smallest for row in differences if row.smallest is not None)


def caps(compared: Sequence[Compared]) -> str:
    """A warning of models whose training the configuration has ended, where there are such."""
    named = [f"{model.model} ({model.capped} of {len(model.budgets)} seeds)" for model in compared if model.capped]
    said = "Stopped by train.epochs while validation still got better, so that more epochs may change their figures:"
    return f"{said} {', '.join(named)}" if named else ""


def legend(judged: Sequence[Judged], references: Sequence[str], seeds: int) -> str:
    """What the table's columns mean."""
    by_unit = sorted({measure.title: measure.metric.unit for measure in judged}.items(), key=lambda item: item[1])
    units = ", ".join(f"{unit:.0e} ({title})".replace("e-0", "e-") for title, unit in by_unit)
    over = f"{seeds} seeds and the test impressions" if seeds > 1 else "the test impressions alone: there is one seed"
    truth = (
        " excess error, cross entropy: predictions held against what the synthetic world expects, not against labels, "
        "over all impressions; a perfect model's excess error is 0."
    )
    return (
        f"Means over {seeds} {'seed' if seeds == 1 else 'seeds'} on the test days. Differences in {units}, more is "
        f"better, each with its own 95 % interval over {over} (two-way analysis of variance); better, worse: settled "
        f"by Holm's correction over all models and tasks of the table from the same reference, nothing is claimed "
        f"elsewhere. paper: its Table 2, on its own logs. epochs: that the final weights have seen, theta included, by "
        f"task in the order of the table. time: of training, search included, as a multiple of "
        f"{references[0] if references else 'nothing'}; density: of the FC weights a task uses."
        f"{truth if any(measure.metric.of_truth for measure in judged) else ''}"
    )


def evidence(
    compared: Sequence[Compared],
    judged: Sequence[Judged],
    references: Sequence[str],
    rows: int,
    champion: str | None = None,
) -> Evidence:
    """The evidence for the verdict on a comparison; a model is unsound if one of its seeds was.

    `champion`: the model in service, whose figures on the same rows are among `judged`.
    """
    names, seeds = [model.model for model in compared], len(compared[0].facts)
    tasks = {measure.task.name: measure.task for measure in judged}
    why = {
        model.model: f"{task.upper()}, {text}"
        for model in compared
        for facts in model.facts
        for task, text in unsound(facts, tasks)
    }
    base = choose_baseline(names, references)
    settled = differences(compared, judged, [*names, champion] if champion else names)
    return Evidence(names, settled, in_order(tasks.values()), base, rows, seeds, why, champion=champion)
