"""Figures of models along the values of a key: a table, and curves with their intervals."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes

from ncs.evaluation.charts import COLOURS, svg
from ncs.evaluation.comparison import Compared
from ncs.evaluation.names import legend_name
from ncs.tasks import Task
from ncs.text import markdown

Swept = Sequence[tuple[Any, Sequence[Compared]]]
"""Value of the key -> what was compared with it."""


def as_table(key: str, swept: Swept, tasks: Mapping[str, Task]) -> str:
    """A line a value and model, in Markdown: each task's mean figure with its 95 % interval."""
    lines = [[key, "model", *(task.title for task in tasks.values())]]
    for value, compared in swept:
        for one in compared:
            cells = []
            for task in tasks:
                low, high = one.figures[task].over_both
                cells.append(f"{one.figures[task].value:.5f} [{low:.5f}, {high:.5f}]")
            lines.append([str(value), one.model, *cells])
    return markdown(lines)


def draw(key: str, swept: Swept, tasks: Mapping[str, Task], reference: str) -> dict[str, str]:
    """A picture a task, as SVG: every model's difference from the reference (or from the first model) by value.

    Bars are 95 % intervals over seeds and test rows; values stand side by side in the order in which they were given.
    """
    names = [one.model for one in swept[0][1]]
    base = reference if reference in names else names[0]

    def panel(axis: Axes, task: Task) -> None:
        unit = task.measure.unit
        for n, name in enumerate(name for name in names if name != base):
            points = []
            for _, compared in swept:
                by_name = {one.model: one.figures[task.name] for one in compared}
                points.append(by_name[name].minus(by_name[base]))
            middle = [point.value / unit for point in points]
            below = [(point.value - point.over_both.low) / unit for point in points]
            above = [(point.over_both.high - point.value) / unit for point in points]
            at = [x + 0.06 * n for x in range(len(points))]  # beside each other, not on each other
            axis.errorbar(
                at,
                middle,
                [below, above],
                fmt="o-",
                color=COLOURS[n % len(COLOURS)],
                label=legend_name(name),
                capsize=2,
            )
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set_xticks(range(len(swept)), [str(value) for value, _ in swept])
        axis.set_xlabel(key)
        axis.set_ylabel(f"difference from {base}, {unit:g}")
        axis.legend(fontsize=7)

    return {task.score: svg(partial(panel, task=task), task.title, height=3.2) for task in tasks.values()}
