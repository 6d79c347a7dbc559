"""Errors by slice for the report, from rows of gold/slices: a panel a slice and task, all models in it."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ncs.evaluation.charts import LOSSES
from ncs.evaluation.intervals import Z95
from ncs.evaluation.models import legend_name, look
from ncs.evaluation.parts import ALL, CALIBRATED, PREDICTION
from ncs.evaluation.svg import svg
from ncs.tasks import Task

Row = Mapping[str, Any]
"""A row of gold/slices."""
MOST = 12
"""Parts of a slice that are drawn: those with the most rows."""
NAMES = {
    "length_seconds": "length of the video, seconds",
    "position": "place in the feed",
    "user_impressions": "times the user was seen",
    "video_impressions": "times the video was shown",
}
"""Slice -> what it is in plain words, where its own name says too little."""


def errors_by_slice(tasks: Sequence[Task], models: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Mean error with its 95 % interval, of each part and model; beside a part's name the rows that it has."""
    names = dict.fromkeys(row["slice"] for row in rows if row["slice"] not in (ALL, PREDICTION, CALIBRATED))
    panels = []
    for name in names:
        for task in tasks:
            mine = [row for row in rows if (row["slice"], row["task"]) == (name, task.name) and row["model"] in models]
            if mine:
                height = 1.2 + max(0.28, 0.1 * len(models)) * len(_parts(mine))
                title = f"{task.name.upper()} by {NAMES.get(name, name)}"
                panels.append(svg(partial(_draw, rows=mine, task=task, models=models), title, height))
    return panels


def _draw(axis: Axes, rows: Sequence[Row], task: Task, models: Sequence[str]) -> None:
    loss, unit = ("mse", "squared_error") if task.loss == "squared_error" else ("log_loss", "cross_entropy")
    parts = _parts(rows)
    places = {part: at for at, part in enumerate(parts)}
    for n, model in enumerate(models):
        mine = [row for row in rows if row["model"] == model and row["part"] in places]
        at = [places[row["part"]] + 0.6 * ((n + 0.5) / len(models) - 0.5) for row in mine]  # beside each other
        values, half = [row[loss] for row in mine], [Z95 * row[f"{loss}_error"] for row in mine]
        colour, marker = look(model)
        axis.errorbar(values, at, xerr=half, fmt=marker, color=colour, label=legend_name(model), linewidth=1.2)
    axis.set_yticks(range(len(parts)), [f"{part} ({rows_:,})" for part, rows_ in parts.items()])
    axis.set_ylim(len(parts) - 0.5, -0.5)
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.set_xlabel(f"← better\u2003{LOSSES[unit]}, 95 % interval")
    axis.grid(axis="y", visible=False)
    axis.figure.legend(loc="outside lower center", ncols=min(len(models), 3))


def _parts(rows: Sequence[Row]) -> dict[str, int]:
    """Part -> its rows, in the slice's own order."""
    sizes = {(row["place"], row["part"]): row["n"] for row in rows}
    largest = sorted(sizes, key=lambda key: -sizes[key])[:MOST]
    return {part: sizes[place, part] for place, part in sorted(largest)}
