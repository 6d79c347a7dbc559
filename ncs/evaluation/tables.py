"""Figures and differences as tables have them: text in the form of the paper's Table 2, cells of the pages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ncs.evaluation.models import TRUTH
from ncs.evaluation.verdict import oriented
from ncs.lake.tables.rows import Difference, Figure
from ncs.metrics import METRICS
from ncs.tasks import Task, in_order
from ncs.text import aligned


@dataclass(frozen=True)
class Cell:
    """A difference and its 95 % interval as text; `better` as in `Difference`; `value` to sort by."""

    text: str
    interval: str
    better: bool | None
    value: float


def cell(row: Difference | None) -> Cell | None:
    """A difference for a table; None where there is none."""
    if row is None:
        return None
    value, *ends = (oriented(row, value) for value in (row.difference, row.low, row.high))
    return Cell(f"{value:+.5f}", f"{min(ends):+.5f} to {max(ends):+.5f}", row.better, value)


def cells(
    differences: Iterable[Difference], model: str, reference: str, metrics: Iterable[tuple[str, str]]
) -> list[Cell | None]:
    """A model's differences from a reference, in some tasks' metrics (task, metric)."""
    by_metric = {(row.task, row.metric): row for row in differences if (row.model, row.reference) == (model, reference)}
    return [cell(by_metric.get(metric)) for metric in metrics]


def as_text(figures: Sequence[Figure], models: Sequence[str], tasks: Iterable[Task]) -> str:
    """A line a model: figure, 95 % interval, absolute and relative gain against the baseline, better is +."""
    by_key = {(figure.model, figure.task, figure.metric): figure for figure in figures}
    columns = in_order(tasks)
    header = ["model"]
    for task in columns:
        header += [task.title, "95 % interval", "MTL gain"]
    lines = [header]
    for model in [*models, *([TRUTH] if any(figure.model == TRUTH for figure in figures) else [])]:
        line = [f"({model})" if model == TRUTH else model]
        for task in columns:
            figure = by_key.get((model, task.name, task.metric))
            # The truth of a further task is not known.
            if figure is None:
                line += ["-"] * 3
            else:
                line += [f"{figure.value:.5f}", f"{figure.ci_low:.5f} .. {figure.ci_high:.5f}", gain(figure)]
        lines.append(line)
    return "\n".join(aligned(lines))


def gain(figure: Figure) -> str:
    """Gain as the paper writes it: `+0.00125 (-0.91%)`, the sign in front says better (+) or worse (-)."""
    if figure.model in (figure.baseline, TRUTH):
        return "-" if figure.model == figure.baseline else "(reachable)"
    absolute = figure.value - figure.value / (1 + figure.gain)
    better = absolute if METRICS[figure.metric].more_is_better else -absolute
    return f"{better:+.5f} ({figure.gain:+.2%})"
