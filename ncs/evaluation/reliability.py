"""Calibration for the report: what was predicted beside what came of it, from rows of gold/slices."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes

from ncs.evaluation import intervals
from ncs.evaluation.charts import svg
from ncs.evaluation.looks import GREY, look
from ncs.evaluation.names import legend_name
from ncs.evaluation.parts import CALIBRATED, PREDICTION
from ncs.tasks import Task

Row = Mapping[str, Any]
"""`model, task, slice, place, n, label, prediction, bias_error` of gold/slices: means over the rows of a part."""
TITLES = {PREDICTION: "p{}", CALIBRATED: "p{}, calibrated"}
"""The slices whose parts are equal bins of the prediction: as it is, and calibrated where there are such."""

Kind = tuple[Task, str]
"""A task and one of `TITLES`."""


def kinds(tasks: Iterable[Task], rows: Sequence[Row]) -> dict[str, Kind]:
    """What the rows hold, by its name for people: each task's predictions, beside them the calibrated ones."""
    there = {(row["task"], row["slice"]) for row in rows}
    return {
        title.format(task.name.upper()): (task, slice_)
        for task in tasks
        for slice_, title in TITLES.items()
        if (task.name, slice_) in there
    }


def reliability(found: Mapping[str, Kind], models: Sequence[str], rows: Sequence[Row]) -> list[str]:
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

    return [svg(partial(draw, title=title, kind=kind), f"Calibration of {title}", 3.6) for title, kind in found.items()]


def calibration_errors(found: Mapping[str, Kind], models: Sequence[str], rows: Sequence[Row]) -> dict[str, list[float]]:
    """Model -> the expected calibration error of each kind: mean distance from the diagonal by rows, debiased."""
    errors: dict[str, list[float]] = {}
    for model in models:
        errors[model] = []
        for kind in found.values():
            bins = _bins(rows, kind, model)
            of_kind = [intervals.Bin(row["n"], row["label"], row["prediction"], row["bias_error"]) for row in bins]
            errors[model].append(intervals.calibration_error(of_kind).value if of_kind else 0.0)
    return errors


def _bins(rows: Sequence[Row], kind: Kind, model: str) -> list[Row]:
    task, slice_ = kind
    mine = [row for row in rows if (row["model"], row["task"], row["slice"]) == (model, task.name, slice_)]
    return sorted(mine, key=lambda row: row["place"])
