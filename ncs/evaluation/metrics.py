"""CTR AUC and CVR MSE of predictions, exact, with 95 % intervals, for all systems at once (paper section 3.1)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.window import WindowSpec

from ncs.errors import DataError

Z95 = 1.959963984540054
BASELINE = "single_task"
TRUTH = "truth"
"""The system whose predictions are the generator's own: the reachable end, not a competitor."""


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


def evaluate(scored: DataFrame, run_id: str) -> list[Figure]:
    """Every system's figures.

    Args:
        scored: `system, clicked (0/1), cvr (null where it has no label), pctr, pcvr`, a row a system and impression.
        run_id: the run that the predictions are of.

    Raises:
        DataError: the rows hold no click, nothing but clicks, or no CVR label.
    """
    raw: list[tuple[str, str, str, float, float, int]] = []
    raw += [(s, "cvr", "mse", value, error, n) for s, value, error, n in _mean(scored, _squared_error())]
    raw += [(s, "ctr", "log_loss", value, error, n) for s, value, error, n in _mean(scored, _log_loss())]
    raw += [(s, "ctr", "auc", value, error, n) for s, value, error, n in auc(scored)]
    systems = sorted({row[0] for row in raw} - {TRUTH})
    baseline = BASELINE if BASELINE in systems else systems[0]
    base = {(task, metric): value for system, task, metric, value, *_ in raw if system == baseline}
    return [
        Figure(
            run_id,
            system,
            task,
            metric,
            value=value,
            ci_low=value - Z95 * error,
            ci_high=value + Z95 * error,
            n=n,
            baseline=baseline,
            gain=value / base[task, metric] - 1 if base[task, metric] else 0.0,
        )
        for system, task, metric, value, error, n in sorted(raw)
    ]


def auc(scored: DataFrame) -> Sequence[tuple[str, float, float, int]]:
    """Area under the ROC curve of `pctr`: `(system, auc, standard error, rows)`, exact, ties counting half.

    Every positive has a placement: the share of negatives below it; AUC is their mean, and DeLong's variance is that
    of the placements of both kinds. Rows are counted by distinct score first, then summed along ranges of scores, so
    that no single task ever sorts all of them.
    """
    positive = F.sum("clicked").cast("double")
    counts = scored.groupBy("system", "pctr").agg(positive.alias("pos"), (F.count("*") - positive).alias("neg"))
    ranges = counts.repartitionByRange("system", "pctr").withColumn("range", F.spark_partition_id()).persist()
    try:
        totals = ranges.groupBy("system", "range").agg(F.sum("pos").alias("all_pos"), F.sum("neg").alias("all_neg"))
        earlier = Window.partitionBy("system").orderBy("range").rowsBetween(Window.unboundedPreceding, -1)
        before = Window.partitionBy("system", "range").orderBy("pctr").rowsBetween(Window.unboundedPreceding, -1)
        whole = Window.partitionBy("system")
        offsets = totals.select("system", "range", *_sums("all_", earlier, "offset_"), *_sums("all_", whole, "total_"))
        placed = ranges.join(F.broadcast(offsets), ["system", "range"]).withColumns(
            {
                "above_neg": (F.col("offset_neg") + _sum("neg", before) + F.col("neg") / 2)
                / F.nullif(F.col("total_neg"), F.lit(0.0)),
                "below_pos": (F.col("offset_pos") + _sum("pos", before) + F.col("pos") / 2)
                / F.nullif(F.col("total_pos"), F.lit(0.0)),
            }
        )
        rows = placed.groupBy("system").agg(
            F.max("total_pos").alias("pos"),
            F.max("total_neg").alias("neg"),
            F.sum(F.col("pos") * F.col("above_neg")).alias("placements"),
            F.sum(F.col("pos") * F.col("above_neg") ** 2).alias("squares_pos"),
            F.sum(F.col("neg") * (1 - F.col("below_pos")) ** 2).alias("squares_neg"),
        )
        found = rows.collect()
    finally:
        ranges.unpersist()
    return [_delong(*row) for row in found]


def _delong(
    system: str, pos: float, neg: float, placements: float, squares_pos: float, squares_neg: float
) -> tuple[str, float, float, int]:
    if pos < 2 or neg < 2:
        raise DataError(
            f"CTR AUC of {system} needs clicked and other rows; the predictions hold {pos:.0f} and {neg:.0f}"
        )
    value = placements / pos
    variance = (squares_pos - pos * value**2) / (pos - 1) / pos + (squares_neg - neg * value**2) / (neg - 1) / neg
    return system, value, math.sqrt(max(variance, 0.0)), int(pos + neg)


def _mean(scored: DataFrame, error: Column) -> Sequence[tuple[str, float, float, int]]:
    """Mean of an error over the rows that have it: `(system, mean, standard error, rows)`."""
    rows = scored.groupBy("system").agg(F.avg(error), F.stddev_samp(error), F.count(error)).collect()
    for system, mean, _, count in rows:
        if mean is None or count < 2:
            raise DataError(f"CVR MSE of {system} needs clicked rows with a length; the predictions hold {count}")
    return [(system, mean, deviation / math.sqrt(count), count) for system, mean, deviation, count in rows]


def _squared_error() -> Column:
    return (F.col("cvr") - F.col("pcvr")) ** 2


def _log_loss() -> Column:
    return -F.when(F.col("clicked") == 1, F.log("pctr")).otherwise(F.log1p(-F.col("pctr")))


def _sum(name: str, window: WindowSpec) -> Column:
    return F.coalesce(F.sum(name).over(window), F.lit(0.0))


def _sums(prefix: str, window: WindowSpec, name: str) -> list[Column]:
    return [_sum(f"{prefix}{kind}", window).alias(f"{name}{kind}") for kind in ("pos", "neg")]
