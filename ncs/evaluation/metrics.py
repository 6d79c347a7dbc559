"""AUC and MSE of predictions, exact, with 95 % intervals, for all systems at once (paper section 3.1)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F
from pyspark.sql.window import WindowSpec

from ncs.errors import DataError
from ncs.tasks import CTR, CVR, Task

Z95 = 1.959963984540054
BASELINE = "single_task"
TRUTH = "truth"
"""The system whose predictions, of CTR and CVR alone, are the generator's own: the reachable end, not a competitor."""
LOG_LOSS = "log_loss"


@dataclass(frozen=True)
class Figure:
    """One figure of one system, as a row of gold/evaluations.

    `gain` is relative to the baseline: (value - baseline) / baseline, so that less is better for mse and log_loss.
    """

    run_id: str
    system: str
    task: str
    metric: str
    value: float
    ci_low: float
    ci_high: float
    n: int
    baseline: str
    gain: float


SCHEMA = (
    "run_id string, system string, task string, metric string, value double, ci_low double, ci_high double, "
    "n long, baseline string, gain double"
)


class Estimate(NamedTuple):
    """A figure with its standard error, over `n` rows."""

    system: str
    task: str
    metric: str
    value: float
    error: float
    n: int


def evaluate(scored: DataFrame, run_id: str, systems: Sequence[str], tasks: Sequence[Task]) -> list[Figure]:
    """Every system's figures, in the order of their names.

    Args:
        scored: `system`, and of every task its label (null where there is none) and prediction, by their columns; a
            row a system and impression.
        run_id: the run that the predictions are of.
        systems: those that are compared; the baseline is single_task, or the first where it is not among them.
        tasks: each is judged by its own metric, CTR by the log loss too.

    Raises:
        DataError: a system has no predictions, or some that are unfit or of impressions without a CTR label; or the
            rows hold no label of a task, or for AUC of one kind alone.
    """
    rows = scored.select("system", *(name for task in tasks for name in (task.label, task.prediction))).persist()
    try:
        estimates = means(rows, systems, tasks)
        for task in tasks:
            estimates += auc(rows, systems, task) if task.metric == "auc" else []
    finally:
        rows.unpersist()
    baseline = BASELINE if BASELINE in systems else systems[0]
    base = {one[1:3]: one.value for one in estimates if one.system == baseline}
    return [
        Figure(
            run_id,
            one.system,
            one.task,
            one.metric,
            value=one.value,
            ci_low=one.value - Z95 * one.error,
            ci_high=one.value + Z95 * one.error,
            n=one.n,
            baseline=baseline,
            gain=one.value / base[one[1:3]] - 1 if base[one[1:3]] else 0.0,
        )
        for one in sorted(estimates)
    ]


def means(scored: DataFrame, systems: Sequence[str], tasks: Sequence[Task]) -> list[Estimate]:
    """Mean squared errors, over the rows with a label, and log loss of CTR, over all, in one pass."""
    errors = {
        (task.name, "mse"): (F.col(task.label) - F.col(task.prediction)) ** 2 for task in tasks if task.metric == "mse"
    }
    (ctr,) = (task for task in tasks if task.name == CTR)
    clicked, pctr = F.col(ctr.label) == 1, F.col(ctr.prediction)
    errors[CTR, LOG_LOSS] = -F.when(clicked, F.log(pctr)).otherwise(F.log1p(-pctr))
    found = scored.groupBy("system").agg(
        F.count("*").alias("rows"),
        F.count_if(F.col(ctr.label).isNull()).alias("unlabelled"),
        F.count_if(~_fit(tasks)).alias("unfit"),
        *(moment for (task, metric), error in errors.items() for moment in _moments(f"{task}_{metric}", error)),
    )
    by_system = {row.system: row for row in found.collect()}
    for system in systems:
        if system not in by_system:
            raise DataError(f"there are no predictions of {system}; run `ncs predict`")
    for row in by_system.values():
        _check(row)
    estimates = []
    for system, row in by_system.items():
        for task, metric in errors:
            name = f"{task}_{metric}"
            count = row[name]
            if system == TRUTH and not count:
                continue
            if count < 2:
                raise DataError(
                    f"{task.upper()} {metric.upper()} of {system} needs rows with a label; the predictions hold "
                    f"{count}; test on more days (split.test_days)"
                )
            estimates.append(
                Estimate(system, task, metric, row[f"{name}_mean"], row[f"{name}_sd"] / math.sqrt(count), count)
            )
    return estimates


def _check(row: Row) -> None:
    if row.unlabelled:
        raise DataError(
            f"{row.unlabelled} of {row.rows} predictions of {row.system} are of impressions that silver/samples does "
            f"not hold; run `ncs predict` on the samples as they are now"
        )
    if row.unfit:
        raise DataError(
            f"{row.unfit} of {row.rows} predictions of {row.system} are null, NaN or not inside (0, 1); see "
            f"`ncs validate --table gold/predictions`, then train and predict again"
        )


def auc(scored: DataFrame, systems: Sequence[str], task: Task) -> list[Estimate]:
    """Area under the ROC curve of a task, exact, ties counting half, with DeLong's standard error.

    Every positive has a placement: the share of negatives below it; AUC is their mean, and DeLong's variance is that
    of the placements of both kinds (DeLong, DeLong and Clarke-Pearson 1988). Rows are counted by distinct score first,
    then summed along ranges of scores, so that no single task ever sorts all of them.

    A label above one half is positive, as in validation. The truth has no score of most tasks.
    """
    label, score = F.col(task.label), F.col(task.prediction)
    counts = (
        scored.where(label.isNotNull() & score.isNotNull())
        .groupBy("system", score.alias("score"))
        .agg(_count(label > 0.5).alias("pos"), _count(label <= 0.5).alias("neg"))
    )
    ranges = counts.repartitionByRange("system", "score").withColumn("range", F.spark_partition_id()).persist()
    try:
        totals = ranges.groupBy("system", "range").agg(F.sum("pos").alias("all_pos"), F.sum("neg").alias("all_neg"))
        earlier = Window.partitionBy("system").orderBy("range").rowsBetween(Window.unboundedPreceding, -1)
        before = Window.partitionBy("system", "range").orderBy("score").rowsBetween(Window.unboundedPreceding, -1)
        whole = Window.partitionBy("system")
        offsets = totals.select("system", "range", *_sums("all_", earlier, "offset_"), *_sums("all_", whole, "total_"))
        placed = ranges.join(F.broadcast(offsets), ["system", "range"]).withColumns(
            {"below_neg": _below("neg", before), "below_pos": _below("pos", before)}
        )
        rows = placed.groupBy("system").agg(
            F.max("total_pos").alias("pos"),
            F.max("total_neg").alias("neg"),
            F.sum(F.col("pos") * F.col("below_neg")).alias("placements"),
            F.sum(F.col("pos") * F.col("below_neg") ** 2).alias("squares_pos"),
            F.sum(F.col("neg") * (1 - F.col("below_pos")) ** 2).alias("squares_neg"),
        )
        found = {row.system: row for row in rows.collect()}
    finally:
        ranges.unpersist()
    nothing = (0.0, 0.0, 0.0, 0.0, 0.0)
    return [
        _delong(task, system, *(found[system][1:] if system in found else nothing))
        for system in dict.fromkeys([*systems, *found])
    ]


def _delong(
    task: Task, system: str, pos: float, neg: float, placements: float, squares_pos: float, squares_neg: float
) -> Estimate:
    if pos < 2 or neg < 2:
        raise DataError(
            f"{task.title} of {system} needs rows of label 1 and of label 0; the predictions hold {pos:.0f} and "
            f"{neg:.0f}; test on more days (split.test_days)"
        )
    value = placements / pos
    variance = (squares_pos - pos * value**2) / (pos - 1) / pos + (squares_neg - neg * value**2) / (neg - 1) / neg
    return Estimate(system, task.name, "auc", value, math.sqrt(max(variance, 0.0)), int(pos + neg))


def _fit(tasks: Sequence[Task]) -> Column:
    # Logarithms are taken of pctr: Spark's would turn an end into null, and the mean would leave the row out. NaN is
    # the largest of all to Spark.
    fit = F.lit(True)
    for task in tasks:
        one = F.col(task.prediction)
        within = (one > 0) & (one < 1) if task.name == CTR else one.between(0, 1)
        unknown = F.lit(False) if task.name in (CTR, CVR) else (F.col("system") == TRUTH) & one.isNull()
        fit = fit & (F.coalesce(within, F.lit(False)) | unknown)
    return fit


def _count(condition: Column) -> Column:
    return F.count_if(condition).cast("double")


def _moments(name: str, error: Column) -> list[Column]:
    return [F.count(error).alias(name), F.avg(error).alias(f"{name}_mean"), F.stddev_samp(error).alias(f"{name}_sd")]


def _below(kind: str, before: WindowSpec) -> Column:
    """Share of the rows of a kind whose score is lower; of equal scores, half."""
    lower = F.col(f"offset_{kind}") + _sum(kind, before) + F.col(kind) / 2
    return lower / F.nullif(F.col(f"total_{kind}"), F.lit(0.0))


def _sum(name: str, window: WindowSpec) -> Column:
    return F.coalesce(F.sum(name).over(window), F.lit(0.0))


def _sums(prefix: str, window: WindowSpec, name: str) -> list[Column]:
    return [_sum(f"{prefix}{kind}", window).alias(f"{name}{kind}") for kind in ("pos", "neg")]
