"""Figures of order, exact: AUC over all rows, AUC within users, Spearman's rank correlation. Ties count half.

Rows are counted by distinct score first, then summed along ranges of scores, so that no single task ever sorts all.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.window import WindowSpec

from ncs.errors import DataError
from ncs.evaluation import intervals
from ncs.evaluation.intervals import Estimate
from ncs.tasks import Task

Form = Callable[[DataFrame, Task, Sequence[str]], list[Estimate]]
"""A metric in Spark: rows with `model`, `user_id`, labels and predictions; a task; the models that are compared."""


def auc(scored: DataFrame, task: Task, models: Sequence[str] = ()) -> list[Estimate]:
    """Area under the ROC curve of a task, with DeLong's standard error.

    Every positive has a placement: the share of negatives below it; AUC is their mean, and DeLong's variance is that
    of the placements of both kinds (DeLong, DeLong and Clarke-Pearson 1988).

    A label above one half is positive, as in validation. The truth has no score of most tasks.
    """
    kinds = _kinds(task)
    counts = _known(scored, task).groupBy("model", F.col(task.prediction).alias("score")).agg(*kinds)
    with _cumulated(counts, "pos", "neg") as placed:
        pos, neg = F.col("pos"), F.col("neg")
        aucs = placed.groupBy("model").agg(
            F.max("whole_pos"),
            F.max("whole_neg"),
            F.sum(pos * _below("neg")),
            F.sum(pos * _below("neg") ** 2),
            F.sum(neg * (1 - _below("pos")) ** 2),
        )
        by_model = {row.model: row[1:] for row in aucs.collect()}
    nothing = (0.0, 0.0, 0.0, 0.0, 0.0)
    return [_delong(task, model, *by_model.get(model, nothing)) for model in dict.fromkeys([*models, *by_model])]


def grouped_auc(scored: DataFrame, task: Task, models: Sequence[str] = ()) -> list[Estimate]:
    """The mean of the users' own AUCs, weighted by their rows (GAUC; Zhu et al., KDD 2017, section 6.2).

    What ranks for a user is the order of his own videos: AUC over all rows also pays for telling users apart. Users
    whose labels are all of one kind have no AUC and do not count. The error is that of a ratio over users. A model
    that ranks for no user with labels of both kinds has no estimate.
    """
    rows = _known(scored, task).repartition("model", "user_id")  # the one shuffle: all that follows is within users
    counts = rows.groupBy("model", "user_id", F.col(task.prediction).alias("score")).agg(*_kinds(task))
    before = Window.partitionBy("model", "user_id").orderBy("score").rowsBetween(Window.unboundedPreceding, -1)
    placements = F.col("pos") * (_sum("neg", before) + F.col("neg") / 2)
    users = (
        counts.withColumn("placements", placements)
        .groupBy("model", "user_id")
        .agg(*(F.sum(name).alias(name) for name in ("placements", "pos", "neg")))
        .where("pos > 0 and neg > 0")
        .select("model", (F.col("pos") + F.col("neg")).alias("w"), F.expr("placements / (pos * neg)").alias("auc"))
    )
    aucs = users.groupBy("model").agg(
        F.count("*").alias("users"),
        F.sum("w").alias("rows"),
        F.expr("sum(w * auc) / sum(w)").alias("mean"),
        # Sums of w^2 (auc - mean)^2 with the square written out: the mean is not known before the pass.
        F.expr("sum(w * w * auc * auc)").alias("aa"),
        F.expr("sum(w * w * auc)").alias("a"),
        F.expr("sum(w * w)").alias("ww"),
    )
    estimates = []
    for row in aucs.collect():
        squares = max(row.aa - 2 * row["mean"] * row.a + row["mean"] ** 2 * row.ww, 0.0)
        error = math.sqrt(squares * row.users / max(row.users - 1, 1)) / row.rows
        # As many users as have equal weights and the same variance.
        interval = intervals.mean_of_shares(row["mean"], error, row.rows**2 / row.ww, row.users - 1)
        estimates.append(Estimate(row.model, task.name, "gauc", row["mean"], error, int(row.rows), *interval))
    return estimates


def spearman(scored: DataFrame, task: Task, models: Sequence[str] = ()) -> list[Estimate]:
    """Correlation of the ranks of labels and predictions; the error by Bonett and Wright (2000).

    A model whose predictions, or a test whose labels, are all equal has none.
    """
    label, score = F.col(task.label), F.col(task.prediction)
    rows = _known(scored, task).select("model", label.cast("double").alias("label"), score.alias("score"))
    with _midranks(rows, "label") as labels, _midranks(rows, "score") as scores:
        ranked = rows.join(labels, ["model", "label"]).join(scores, ["model", "score"])
        correlated = F.try_divide(
            F.covar_samp("label_rank", "score_rank"), F.stddev_samp("label_rank") * F.stddev_samp("score_rank")
        )
        correlations = ranked.groupBy("model").agg(correlated.alias("r"), F.count("*").alias("n")).collect()
    return [
        Estimate(
            row.model,
            task.name,
            "spearman",
            row.r,
            _bonett_wright(row.r, row.n),
            row.n,
            *intervals.rank_correlation(row.r, row.n),
        )
        for row in correlations
        if row.r is not None and row.n > 3
    ]


def _known(scored: DataFrame, task: Task) -> DataFrame:
    return scored.where(F.col(task.label).isNotNull() & F.col(task.prediction).isNotNull())


def _kinds(task: Task) -> list[Column]:
    positive = F.col(task.label) > 0.5
    return [F.count_if(kind).cast("double").alias(name) for name, kind in (("pos", positive), ("neg", ~positive))]


@contextmanager
def _midranks(rows: DataFrame, name: str) -> Iterator[DataFrame]:
    """The mean rank of each distinct value of a column within its model, from 1: `model, <name>, <name>_rank`."""
    counts = rows.groupBy("model", F.col(name).alias("score")).agg(F.count("*").cast("double").alias("rows"))
    with _cumulated(counts, "rows") as placed:
        rank = F.col("before_rows") + (F.col("rows") + 1) / 2
        yield placed.select("model", F.col("score").alias(name), rank.alias(f"{name}_rank"))


@contextmanager
def _cumulated(counts: DataFrame, *names: str) -> Iterator[DataFrame]:
    """Counts of `model, score`, beside each its sum over the lower scores (`before_`) and over all (`whole_`)."""
    ranges = counts.repartitionByRange("model", "score").withColumn("range", F.spark_partition_id()).persist()
    try:
        totals = ranges.groupBy("model", "range").agg(*(F.sum(name).alias(name) for name in names))
        earlier = Window.partitionBy("model").orderBy("range").rowsBetween(Window.unboundedPreceding, -1)
        before = Window.partitionBy("model", "range").orderBy("score").rowsBetween(Window.unboundedPreceding, -1)
        whole = Window.partitionBy("model")
        offsets = totals.select(
            "model",
            "range",
            *(_sum(name, earlier).alias(f"offset_{name}") for name in names),
            *(_sum(name, whole).alias(f"whole_{name}") for name in names),
        )
        joined = ranges.join(F.broadcast(offsets), ["model", "range"])
        yield joined.withColumns({f"before_{name}": F.col(f"offset_{name}") + _sum(name, before) for name in names})
    finally:
        ranges.unpersist()


def _below(kind: str) -> Column:
    """Share of the rows of a kind whose score is lower; of equal scores, half."""
    return (F.col(f"before_{kind}") + F.col(kind) / 2) / F.nullif(F.col(f"whole_{kind}"), F.lit(0.0))


def _sum(name: str, window: WindowSpec) -> Column:
    return F.coalesce(F.sum(name).over(window), F.lit(0.0))


def _delong(
    task: Task, model: str, pos: float, neg: float, placements: float, squares_pos: float, squares_neg: float
) -> Estimate:
    if pos < 2 or neg < 2:
        raise DataError(
            f"{task.title} of {model} needs rows of label 1 and of label 0; the predictions hold {pos:.0f} and "
            f"{neg:.0f}; test on more days (split.test_days)"
        )
    value = placements / pos
    variance = (squares_pos - pos * value**2) / (pos - 1) / pos + (squares_neg - neg * value**2) / (neg - 1) / neg
    if variance < 1e-15:  # rounding, not rows
        variance = 0.0
    interval = intervals.auc(value, variance, pos, neg)
    return Estimate(model, task.name, "auc", value, math.sqrt(variance), int(pos + neg), *interval)


def _bonett_wright(r: float, n: int) -> float:
    return (1 - r**2) * math.sqrt((1 + r**2 / 2) / (n - 3))
