"""Score distributions for the report, from rows of gold/slices: how the predictions of each model are spread."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from ncs.evaluation.charts import svg
from ncs.evaluation.looks import look
from ncs.evaluation.names import legend_name
from ncs.evaluation.parts import BINS, PREDICTION
from ncs.tasks import Task


def distributions(tasks: Sequence[Task], models: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A panel a task: the share of the test rows with a label in each bin of the prediction, a line a model."""
    panels = []
    for task in tasks:
        mine = [row for row in rows if (row["task"], row["slice"]) == (task.name, PREDICTION)]
        if mine:
            title = f"Where the p{task.name.upper()} of the models lie"
            panels.append(svg(partial(_draw, task=task, models=models, rows=mine), title))
    return panels


def _draw(axis: Axes, task: Task, models: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    edges = [n / BINS for n in range(BINS + 1)]
    for model in models:
        counts = [0] * BINS
        for row in rows:
            if row["model"] == model:
                counts[row["place"]] = row["n"]
        shares = [n / max(sum(counts), 1) for n in counts]
        axis.stairs(shares, edges, color=look(model).colour, linewidth=1.4, label=legend_name(model))
    axis.set(xlabel=f"p{task.name.upper()}", ylabel="share of the test rows", xlim=(0, 1))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.legend()
