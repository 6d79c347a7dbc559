"""Calibration for the report: what was predicted beside what came of it, from rows of gold/slices."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes

from ncs.evaluation.charts import COLOURS, GREY, svg
from ncs.tasks import Task

SLICE = "prediction"
"""The slice of gold/slices whose parts are equal bins of the prediction."""

Row = Mapping[str, Any]
"""`system, task, slice, place, n, label, prediction` of gold/slices: means over the rows of a part."""


def reliability(tasks: Sequence[Task], systems: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """A panel a task: mean label by mean prediction of each bin. On the diagonal predictions are what they say.

    The larger a point, the more rows are in its bin.
    """

    def draw(axis: Axes, task: Task) -> None:
        axis.plot([0, 1], [0, 1], ":", color=GREY, label="calibrated")
        for n, system in enumerate(systems):
            bins = _bins(rows, task, system)
            most = max((row["n"] for row in bins), default=1)
            x, y = [row["prediction"] for row in bins], [row["label"] for row in bins]
            axis.plot(x, y, "-", color=COLOURS[n % len(COLOURS)], linewidth=1, label=system)
            axis.scatter(x, y, s=[4 + 30 * row["n"] / most for row in bins], color=COLOURS[n % len(COLOURS)])
        axis.set(xlabel=f"mean p{task.name.upper()}", ylabel="mean label", xlim=(0, 1), ylim=(0, 1))
        axis.legend(loc="upper left")

    known = [task for task in tasks if any(row["task"] == task.name and row["slice"] == SLICE for row in rows)]
    return [svg(partial(draw, task=task), f"Calibration of p{task.name.upper()}", 3.6) for task in known]


def calibration_errors(tasks: Sequence[Task], systems: Sequence[str], rows: Sequence[Row]) -> dict[str, list[float]]:
    """System -> the expected calibration error of each task: mean distance from the diagonal, weighted by rows."""
    found: dict[str, list[float]] = {}
    for system in systems:
        found[system] = []
        for task in tasks:
            bins = _bins(rows, task, system)
            total = max(sum(row["n"] for row in bins), 1)
            found[system].append(sum(row["n"] * abs(row["label"] - row["prediction"]) for row in bins) / total)
    return found


def _bins(rows: Sequence[Row], task: Task, system: str) -> list[Row]:
    mine = [row for row in rows if (row["system"], row["task"], row["slice"]) == (system, task.name, SLICE)]
    return sorted(mine, key=lambda row: row["place"])
