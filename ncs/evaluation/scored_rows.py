"""Test rows with the predictions of all models side by side, on the driver: what paired differences are taken of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncs.errors import DataError
from ncs.evaluation import paired
from ncs.lake.tables.rows import RunDifference
from ncs.tasks import Task

_BUCKETS = 1_000_000
"""Rows are drawn by a hash of their id, in so many buckets."""


@dataclass(frozen=True)
class ScoredRows:
    """Labels by task [rows], NaN where a row has none; predictions by model and task [rows]."""

    labels: Mapping[str, np.ndarray]
    predictions: Mapping[str, Mapping[str, np.ndarray]]


def collect(scored: DataFrame, models: Sequence[str], tasks: Sequence[Task], rows: int, most: int) -> ScoredRows:
    """The rows of these models, or about `most` of them where there are more, drawn by a hash of `impression_id`.

    Args:
        scored: `model`, `impression_id`, of every task its label and prediction; a row a model and impression.
        models: those that are compared.
        tasks: whose labels and predictions are taken.
        rows: how many impressions there are.
        most: how many of them the driver is to have.

    Raises:
        DataError: the models have predicted different impressions.
    """
    key = F.xxhash64("impression_id")
    names = [name for task in tasks for name in (task.label, task.prediction)]
    drawn = scored.where(F.col("model").isin(list(models)))
    if rows > most:
        bucket = F.pmod(F.xxhash64(F.lit("drawn"), "impression_id"), F.lit(_BUCKETS))
        drawn = drawn.where(bucket < most / rows * _BUCKETS)
    values = [F.col(name).cast("double").alias(name) for name in names]
    frame: pd.DataFrame = drawn.select("model", key.alias("key"), *values).toPandas()
    by_model = {model: mine.sort_values("key") for model, mine in frame.groupby("model")}
    first = by_model[models[0]]
    for model in models[1:]:
        if not np.array_equal(by_model[model]["key"].to_numpy(), first["key"].to_numpy()):
            raise DataError(
                f"gold/predictions has {model} and {models[0]} on different impressions, so that they cannot be "
                "compared row by row; run `ncs predict`"
            )
    return ScoredRows(
        {task.name: first[task.label].to_numpy(dtype=float) for task in tasks},
        {
            model: {task.name: by_model[model][task.prediction].to_numpy(dtype=float) for task in tasks}
            for model in models
        },
    )


def run_differences(rows: ScoredRows, run_id: str, tasks: Sequence[Task]) -> list[RunDifference]:
    """The difference of each model from each other, in every metric that is a mean over rows.

    Args:
        rows: of one run.
        run_id: that run.
        tasks: what the models are compared in.
    """
    differences = []
    for task in tasks:
        predictions = [{model: by_task[task.name] for model, by_task in rows.predictions.items()}]
        n = int((~np.isnan(rows.labels[task.name])).sum())
        for metric in paired.metrics_by_row(task):
            figures = paired.figures(task, rows.labels[task.name], predictions, metric)
            for model, reference in permutations(figures.models, 2):
                difference = paired.difference(model, reference, task, metric, figures)
                differences.append(RunDifference.from_difference(difference, run_id, n))
    return differences
