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


def cell(one: Difference | None) -> Cell | None:
    """A difference for a table; None where there is none."""
    if one is None:
        return None
    value, *ends = (oriented(one, value) for value in (one.difference, one.low, one.high))
    return Cell(f"{value:+.5f}", f"{min(ends):+.5f} to {max(ends):+.5f}", one.better, value)


def cells(
    differences: Iterable[Difference], model: str, reference: str, metrics: Iterable[tuple[str, str]]
) -> list[Cell | None]:
    """A model's differences from a reference, in some tasks' metrics (task, metric)."""
    found = {(one.task, one.metric): one for one in differences if (one.model, one.reference) == (model, reference)}
    return [cell(found.get(metric)) for metric in metrics]


def as_text(figures: Sequence[Figure], models: Sequence[str], tasks: Iterable[Task]) -> str:
    """A line a model: figure, 95 % interval, absolute and relative gain against the baseline, better is +."""
    by_key = {(one.model, one.task, one.metric): one for one in figures}
    columns = in_order(tasks)
    header = ["model"]
    for task in columns:
        header += [task.title, "95 % interval", "MTL gain"]
    lines = [header]
    for model in [*models, *([TRUTH] if any(one.model == TRUTH for one in figures) else [])]:
        line = [f"({model})" if model == TRUTH else model]
        for task in columns:
            one = by_key.get((model, task.name, task.metric))
            # The truth of a further task is not known.
            line += [f"{one.value:.5f}", f"{one.ci_low:.5f} .. {one.ci_high:.5f}", gain(one)] if one else ["-"] * 3
        lines.append(line)
    return "\n".join(aligned(lines))


def gain(one: Figure) -> str:
    """Gain as the paper writes it: `+0.00125 (-0.91%)`, the sign in front says better (+) or worse (-)."""
    if one.model in (one.baseline, TRUTH):
        return "-" if one.model == one.baseline else "(reachable)"
    absolute = one.value - one.value / (1 + one.gain)
    better = absolute if METRICS[one.metric].more_is_better else -absolute
    return f"{better:+.5f} ({one.gain:+.2%})"
