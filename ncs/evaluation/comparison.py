"""A comparison of models over several seeds: rows for Delta, and a table in the form of the paper's Table 2."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ncs.evaluation.paired import Figures
from ncs.evaluation.paper import TABLE_2
from ncs.metrics import METRICS, judging
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
    compared: Sequence[Compared], tasks: Mapping[str, Task], references: Sequence[str]
) -> Iterable[dict[str, Any]]:
    """For each model, task and other reference: the difference with its intervals, and whether it is a win.

    `better` is true where the interval over seeds and rows excludes zero on the better side, false on the worse, null
    where it holds zero: nothing is claimed then.
    """
    by_name = {one.model: one for one in compared}
    for one in compared:
        for task in tasks.values():
            for reference in references:
                if reference in by_name and reference != one.model:
                    base = by_name[reference].figures[task.name]
                    found = one.figures[task.name].minus(base)
                    both, seeds, rows = found.over_both, found.over_seeds, found.over_rows
                    yield {
                        "model": one.model,
                        "reference": reference,
                        "task": task.name,
                        "metric": task.metric,
                        "difference": found.value,
                        "relative": found.value / base.value if base.value else None,
                        "low": both.low,
                        "high": both.high,
                        "seeds_low": seeds.low,
                        "seeds_high": seeds.high,
                        "rows_low": rows.low,
                        "rows_high": rows.high,
                        "better": task.better(found.value, 0.0) if both.excludes_zero else None,
                    }


def as_table(compared: Sequence[Compared], tasks: Mapping[str, Task], references: Sequence[str]) -> str:
    """The comparison as a Markdown table, which reads well as text too.

    A model a line: each task's mean figure, its differences from the references with 95 % intervals, `+` where it is
    better and settled, `-` where it is worse and settled; what it costs.
    """
    found = {(d["model"], d["task"], d["reference"]): d for d in differences(compared, tasks, references)}
    there = [name for name in references if any(one.model == name for one in compared)]
    order = in_order(tasks.values())
    seconds = next((one.mean("seconds") for one in compared if one.model == there[0]), None) if there else None
    header = ["model"]
    for task in order:
        header += [task.title, "paper", *(f"- {name}" for name in there)]
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


def _difference(one: Mapping[str, Any] | None, task: Task) -> str:
    if one is None:
        return ""
    unit = task.measure.unit
    settled = {None: "", True: " +", False: " -"}[one["better"]]
    relative = "-" if one["relative"] is None else f"{one['relative']:+.2%}"
    interval = f"[{one['low'] / unit:+.0f}, {one['high'] / unit:+.0f}]"
    return f"{one['difference'] / unit:+.0f} {interval} ({relative}){settled}"


def legend(references: Sequence[str], seeds: int) -> str:
    """What the table's columns mean."""
    measures = sorted((METRICS[name] for name in judging()), key=lambda metric: metric.unit)
    units = " and ".join(f"{metric.unit:.0e} ({metric.title})".replace("e-0", "e-") for metric in measures)
    return (
        f"Means over {seeds} seeds on the test days. Differences in {units}, with 95 % "
        f"intervals over seeds and paired resamples of the impressions; + better, - worse, where the interval excludes "
        f"zero, nothing claimed elsewhere. paper: its Table 2, on its own logs. time: of training, search included, as "
        f"a multiple of {references[0] if references else 'nothing'}; density: of the FC weights a task uses."
    )
