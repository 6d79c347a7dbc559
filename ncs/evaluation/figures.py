"""Pictures of predictions and differences: calibration, score distributions, forest plots."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ncs.evaluation import intervals
from ncs.evaluation.models import GREY, legend_name, look
from ncs.evaluation.parts import BINS, CALIBRATED, PREDICTION
from ncs.evaluation.svg import signed, svg
from ncs.evaluation.verdict import oriented
from ncs.lake.tables.rows import Difference
from ncs.tasks import Task

Row = Mapping[str, Any]
"""`model, task, slice, place, n, label, prediction, bias_error` of gold/slices: means over the rows of a part."""
TITLES = {PREDICTION: "p{}", CALIBRATED: "p{}, calibrated"}
"""The slices whose parts are equal bins of the prediction: as it is, and calibrated where there are such."""

Kind = tuple[Task, str]
"""A task and one of `TITLES`."""


def prediction_kinds(tasks: Iterable[Task], rows: Sequence[Row]) -> dict[str, Kind]:
    """Title -> kind of predictions in the rows: those of each task and, where there are such, the calibrated ones."""
    there = {(row["task"], row["slice"]) for row in rows}
    return {
        title.format(task.name.upper()): (task, slice_)
        for task in tasks
        for slice_, title in TITLES.items()
        if (task.name, slice_) in there
    }


def reliability(kinds: Mapping[str, Kind], models: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """A panel a kind: mean label by mean prediction of each bin. On the diagonal predictions are what they say.

    The larger a point, the more rows are in its bin.
    """

    def draw(axis: Axes, title: str, kind: Kind) -> None:
        axis.plot([0, 1], [0, 1], ":", color=GREY, label="what it should be")
        for model in models:
            (colour, marker), bins = look(model), _bins(rows, kind, model)
            most = max((row["n"] for row in bins), default=1)
            x, y = [row["prediction"] for row in bins], [row["label"] for row in bins]
            axis.plot(x, y, "-", color=colour, linewidth=1)
            axis.plot([], [], f"{marker}-", color=colour, linewidth=1, label=legend_name(model))
            axis.scatter(x, y, s=[4 + 30 * row["n"] / most for row in bins], color=colour, marker=marker)
        axis.set(xlabel=f"mean {title}", ylabel="mean label", xlim=(0, 1), ylim=(0, 1))
        axis.legend(loc="upper left")

    return [svg(partial(draw, title=title, kind=kind), f"Calibration of {title}", 3.6) for title, kind in kinds.items()]


def calibration_errors(kinds: Mapping[str, Kind], models: Sequence[str], rows: Sequence[Row]) -> dict[str, list[float]]:
    """Model -> the expected calibration error of each kind: mean distance from the diagonal by rows, debiased."""
    errors: dict[str, list[float]] = {}
    for model in models:
        errors[model] = []
        for kind in kinds.values():
            bins = _bins(rows, kind, model)
            of_kind = [intervals.Bin(row["n"], row["label"], row["prediction"], row["bias_error"]) for row in bins]
            errors[model].append(intervals.calibration_error(of_kind).value if of_kind else 0.0)
    return errors


def _bins(rows: Sequence[Row], kind: Kind, model: str) -> list[Row]:
    task, slice_ = kind
    mine = [row for row in rows if (row["model"], row["task"], row["slice"]) == (model, task.name, slice_)]
    return sorted(mine, key=lambda row: row["place"])


def distributions(tasks: Sequence[Task], models: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A panel a task: the share of the test rows with a label in each bin of the prediction, a line a model."""
    panels = []
    for task in tasks:
        mine = [row for row in rows if (row["task"], row["slice"]) == (task.name, PREDICTION)]
        if mine:
            title = f"Where the p{task.name.upper()} of the models lie"
            panels.append(svg(partial(_draw_shares, task=task, models=models, rows=mine), title))
    return panels


def _draw_shares(axis: Axes, task: Task, models: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
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


def forests(metrics: Iterable[tuple[str, str, str]], differences: Sequence[Difference], reference: str) -> list[str]:
    """A plot a metric (title, task, metric) that has differences from the reference: a line a model, in their order.

    Filled markers are settled differences.
    """
    plots = []
    for title, *metric in metrics:
        rows = [row for row in differences if [row.task, row.metric] == metric and row.reference == reference]
        if rows:
            draw = partial(_draw_forest, title=title, rows=rows)
            plots.append(svg(draw, f"{title}: difference from {reference}", 1.25 + 0.27 * len(rows)))
    return plots


def _draw_forest(axis: Axes, title: str, rows: Sequence[Difference]) -> None:
    for n, row in enumerate(rows):
        colour, marker = look(row.model)
        value, low, high = (oriented(row, value) for value in (row.difference, row.low, row.high))
        axis.plot([low, high], [n, n], color=colour, linewidth=2)
        face = "white" if row.better is None else colour
        axis.plot(value, n, marker, color=colour, markersize=7, markerfacecolor=face)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(range(len(rows)), [row.model for row in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.xaxis.set_major_formatter(signed)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(f"← worse\u2003{title}, 95 % interval\u2003better →")
