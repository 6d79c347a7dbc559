"""Calibration and errors of the models on slices of the test rows, in one pass over all of them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncs.evaluation import intervals
from ncs.evaluation.intervals import Estimate
from ncs.lake import layout
from ncs.lake.layout import Lake
from ncs.lake.tables.rows import Part
from ncs.metrics import METRICS
from ncs.tasks import Task

ALL, PREDICTION = "all", "prediction"
"""The slices that are always there: all rows as one part, and `BINS` equal bins of the prediction."""
BINS = 20
CALIBRATED = "calibrated"
"""The slice of calibrated predictions, where there are such, in bins like those of `PREDICTION`."""
ECE = {metric.bins_of: metric.name for metric in METRICS.values() if metric.bins_of}
"""Slice -> the metric of its bins."""
OWN = "#"
"""A prefix of slices' columns, so that none is called like a label, prediction or key beside it."""
HISTORIES = {"user_impressions": "user_id", "video_impressions": "video_id"}
"""Slices that silver/samples has no column of: in how many impressions of the training days a user or video was."""

Slices = Mapping[str, Sequence[float] | None]
"""Column -> the lower edges of its parts but the first; None where each value is a part."""


def available_slices(lake: Lake, wanted: Slices) -> Slices:
    """The wanted slices that the samples have columns for."""
    there = {*lake.columns(layout.SAMPLES), *HISTORIES}
    return {name: edges for name, edges in wanted.items() if name in there}


def with_histories(rows: DataFrame, training: DataFrame) -> DataFrame:
    """Add how often each row's user and video were shown on the training days; 0 is a new one."""
    for name, key in HISTORIES.items():
        seen = training.groupBy(key).agg(F.count("*").alias(name))
        rows = rows.join(seen, key, "left").fillna(0, [name])
    return rows


def by_part(scored: DataFrame, run_id: str, slices: Slices, tasks: Iterable[Task]) -> list[Part]:
    """Every model's calibration and errors on every part of every slice.

    Args:
        scored: `model`, of every task its label (null where there is none) and prediction, and the columns of
            `slices`; a row a model and impression.
        run_id: the run that the predictions are of.
        slices: see `Slices`. A null or NaN is in the part `unknown`.
        tasks: each is judged where it has a label and a prediction.
    """
    label, prediction = F.col("label"), F.col("prediction")
    of_tasks = F.explode(F.array(*[_task(task) for task in tasks])).alias("t")
    rows = scored.select("model", *slices, of_tasks).select("model", *slices, "t.*")
    rows = rows.where(label.isNotNull() & prediction.isNotNull())
    parts = [_struct(ALL, F.lit(ALL), F.lit(0)), _bin(prediction)]
    parts += [_slice(name, edges) for name, edges in slices.items()]
    inside = F.least(F.greatest(prediction, F.lit(1e-15)), F.lit(1 - 1e-15))  # at the ends a loss has no number
    errors = {
        "bias": prediction - label,
        "mse": (prediction - label) ** 2,
        "log_loss": -(label * F.log(inside) + (1 - label) * F.log1p(-inside)),
    }
    rows = rows.select("model", "task", label, prediction, F.explode(F.array(*parts)).alias("p"))
    aggregated = rows.groupBy("model", "task", "p.slice", "p.part", "p.place").agg(
        F.count("*").alias("n"),
        F.avg(label).alias("label"),
        F.avg(prediction).alias("prediction"),
        *(F.avg(error).alias(name) for name, error in errors.items()),
        *(F.coalesce(F.stddev_samp(error), F.lit(0.0)).alias(f"{name}_error") for name, error in errors.items()),
    )
    return sorted((_part(run_id, row.asDict()) for row in aggregated.collect()), key=_order)


def calibration_error(parts: Iterable[Part]) -> list[Estimate]:
    """Expected calibration error: the mean distance of labels from predictions over the bins of the prediction.

    Debiased: see `ncs.evaluation.intervals.calibration_error`.
    """
    bins: dict[tuple[str, str, str], list[Part]] = {}
    for part in parts:
        if part.slice in ECE:
            bins.setdefault((part.model, part.task, ECE[part.slice]), []).append(part)
    estimates = []
    for (model, task, metric), of_model in bins.items():
        n = sum(part.n for part in of_model)
        bins_ = [intervals.Bin(part.n, part.label, part.prediction, part.bias_error) for part in of_model]
        value, error, interval = intervals.calibration_error(bins_)
        estimates.append(Estimate(model, task, metric, value, error, n, *interval))
    return estimates


def _task(task: Task) -> Column:
    values = {"label": task.label, "prediction": task.prediction}
    columns = [F.col(column).cast("double").alias(name) for name, column in values.items()]
    return F.struct(F.lit(task.name).alias("task"), *columns)


def _struct(name: str, part: Column, place: Column) -> Column:
    return F.struct(F.lit(name).alias("slice"), part.alias("part"), place.cast("int").alias("place"))


def _bin(prediction: Column) -> Column:
    place = F.least(F.floor(prediction * BINS), F.lit(BINS - 1))
    return _struct(PREDICTION, F.format_string("%.2f to %.2f", place / BINS, (place + 1) / BINS), place)


def _slice(column: str, edges: Sequence[float] | None) -> Column:
    value, name = F.col(column), column.removeprefix(OWN)
    if edges is None:
        return _struct(name, F.coalesce(value.cast("string"), F.lit("unknown")), F.lit(0))
    number = F.nanvl(value.cast("double"), F.lit(None).cast("double"))
    place = sum(((number >= edge).cast("int") for edge in edges), F.lit(0))
    names = F.array(*[F.lit(text) for text in part_names(name, edges)])
    return _struct(name, F.coalesce(F.get(names, place), F.lit("unknown")), F.coalesce(place, F.lit(len(edges) + 1)))


def part_names(name: str, edges: Sequence[float]) -> list[str]:
    """The parts of a slice of numbers, from the lowest."""
    first = "new" if name in HISTORIES and edges[0] == 1 else f"under {edges[0]:g}"
    between = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    return [first, *between, f"{edges[-1]:g} and more"]


def _part(run_id: str, values: dict[str, Any]) -> Part:
    """A row as it was counted, its deviations made standard errors."""
    root = math.sqrt(values["n"])
    errors = {name: values.pop(name) / root for name in list(values) if name.endswith("_error")}
    return Part(run_id=run_id, **values, **errors)


def _order(part: Part) -> tuple[str, str, str, int, str]:
    return part.model, part.task, part.slice, part.place, part.part
