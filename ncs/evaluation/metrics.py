"""All figures of predictions, exact, with 95 % intervals, for all models at once (paper section 3.1)."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pkgutil import resolve_name
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from ncs.errors import DataError
from ncs.evaluation import intervals
from ncs.evaluation.calibration import Curves, apply
from ncs.evaluation.intervals import Estimate
from ncs.evaluation.models import BASELINE, TRUTH
from ncs.evaluation.parts import CALIBRATED, PREDICTION, Slices, by_part, calibration_error
from ncs.evaluation.ranks import Form
from ncs.evaluation.verdict import choose_baseline
from ncs.lake.tables.rows import Figure, Part
from ncs.metrics import METRICS
from ncs.tasks import CTR, CVR, Task
from ncs.threads import together


class Evaluation(NamedTuple):
    """Figures on all test rows, in the order of the models' names, and what there is on parts of them."""

    figures: list[Figure]
    parts: list[Part]


def evaluate(
    scored: DataFrame,
    run_id: str,
    models: Sequence[str],
    tasks: Sequence[Task],
    slices: Slices | None = None,
    curves: Curves | None = None,
) -> Evaluation:
    """Every model's figures.

    Args:
        scored: `model`, `user_id`, of every task its label (null where there is none) and prediction, by their
            columns, and the columns of `slices`; a row a model and impression.
        run_id: the run that the predictions are of.
        models: those that are compared; the baseline is single_task, or the first where it is not among them.
        tasks: each is judged by the metrics that apply to it (`ncs.metrics`).
        slices: parts of the rows that the models are judged on besides.
        curves: with which predictions are calibrated; then the calibration of these is judged too.

    Raises:
        DataError: a model has no predictions, or some that are unfit or of impressions without a CTR label; or the
            rows hold no label of a task, or for AUC of one kind alone.
    """
    slices = slices or {}
    columns = dict.fromkeys(["model", "user_id", *slices])
    rows = scored.select(*columns, *(name for task in tasks for name in (task.label, task.prediction))).persist()
    try:
        estimates = means(rows, models, tasks)
        parts = by_part(rows, run_id, slices, tasks)
        if curves:
            calibrated = by_part(apply(rows, curves, tasks), run_id, {}, tasks)
            parts += [replace(part, slice=CALIBRATED) for part in calibrated if part.slice == PREDICTION]
        estimates += calibration_error(parts)
        forms: list[tuple[Form, Task]] = [
            (resolve_name(metric.spark), task) for task in tasks for metric in task.metrics if metric.spark
        ]
        for of_form in together(lambda form: form[0](rows, form[1], models), forms):
            estimates += of_form
    finally:
        rows.unpersist()
    return Evaluation(_figures(estimates, run_id, models), parts)


def _figures(estimates: Sequence[Estimate], run_id: str, models: Sequence[str]) -> list[Figure]:
    baseline = choose_baseline(models, [BASELINE])
    base = {(estimate.task, estimate.metric): estimate.value for estimate in estimates if estimate.model == baseline}
    return [
        Figure(
            run_id,
            estimate.model,
            estimate.task,
            estimate.metric,
            value=estimate.value,
            ci_low=estimate.low,
            ci_high=estimate.high,
            n=estimate.n,
            baseline=baseline,
            gain=estimate.value / of_base - 1 if (of_base := base.get((estimate.task, estimate.metric))) else 0.0,
        )
        for estimate in sorted(estimates)
    ]


def means(scored: DataFrame, models: Sequence[str], tasks: Sequence[Task]) -> list[Estimate]:
    """The metrics that are means of errors, over the rows with a label, in one pass."""
    errors = {
        (task.name, metric.name): metric.error(F, F.col(task.label), F.col(task.prediction))
        for task in tasks
        for metric in task.metrics
        if metric.error
    }
    (ctr,) = (task for task in tasks if task.name == CTR)
    aggregated = scored.groupBy("model").agg(
        F.count("*").alias("rows"),
        F.count_if(F.col(ctr.label).isNull()).alias("unlabelled"),
        F.count_if(~_fit(tasks)).alias("unfit"),
        *(moment for (task, metric), error in errors.items() for moment in _moments(f"{task}_{metric}", error)),
    )
    by_model = {row.model: row for row in aggregated.collect()}
    for model in models:
        if model not in by_model:
            raise DataError(f"there are no predictions of {model}; run `ncs predict`")
    for row in by_model.values():
        _check(row)
    estimates = []
    for model, row in by_model.items():
        for task, metric in errors:
            name = f"{task}_{metric}"
            count = row[name]
            if model == TRUTH and not count:
                continue
            if count < 2:
                raise DataError(
                    f"{task.upper()} {metric.upper()} of {model} needs rows with a label; the predictions hold "
                    f"{count}; test on more days (split.test_days)"
                )
            value, error = row[f"{name}_mean"], row[f"{name}_sd"] / math.sqrt(count)
            if METRICS[metric].bounded:
                interval = intervals.mean_of_shares(value, error, count, count - 1)
            else:
                interval = intervals.positive_mean(value, error, count)
            estimates.append(Estimate(model, task, metric, value, error, count, *interval))
    return estimates


def _check(row: Row) -> None:
    if row.unlabelled:
        raise DataError(
            f"{row.unlabelled} of {row.rows} predictions of {row.model} are of impressions that silver/samples does "
            f"not hold; run `ncs predict` on the samples as they are now"
        )
    if row.unfit:
        raise DataError(
            f"{row.unfit} of {row.rows} predictions of {row.model} are null, NaN or not inside (0, 1); see "
            f"`ncs validate --table gold/predictions`, then train and predict again"
        )


def _fit(tasks: Sequence[Task]) -> Column:
    # Logarithms are taken of pctr: Spark's would turn an end into null, and the mean would leave the row out. NaN is
    # the largest of all to Spark.
    fit = F.lit(True)
    for task in tasks:
        prediction = F.col(task.prediction)
        within = (prediction > 0) & (prediction < 1) if task.name == CTR else prediction.between(0, 1)
        unknown = F.lit(False) if task.name in (CTR, CVR) else (F.col("model") == TRUTH) & prediction.isNull()
        fit = fit & (F.coalesce(within, F.lit(False)) | unknown)
    return fit


def _moments(name: str, error: Column) -> list[Column]:
    return [F.count(error).alias(name), F.avg(error).alias(f"{name}_mean"), F.stddev_samp(error).alias(f"{name}_sd")]
