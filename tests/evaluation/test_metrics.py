"""Figures in Spark against plain references on the same rows."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncs.errors import DataError
from ncs.evaluation import intervals
from ncs.evaluation.metrics import TRUTH, evaluate
from ncs.evaluation.tables import as_text
from ncs.lake.tables.rows import Figure
from ncs.metrics import METRICS, Kind, Metric
from ncs.tasks import Task, named_tasks
from tests.factories import toy_conf

SCHEMA = "model string, clicked int, cvr double, pctr double, pcvr double"
MODELS = ("layer_share", "single_task")
TASKS = list(named_tasks(toy_conf()).values())


def scored(spark: SparkSession, seed: int = 0, rows: int = 500, decimals: int = 2) -> DataFrame:
    """Two models; scores rounded, so that many are tied."""
    random = np.random.default_rng(seed)
    parts: list[tuple] = []
    for model, noise in (("single_task", 2.0), ("layer_share", 1.0)):
        logit = random.normal(size=rows)
        clicked = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
        pctr = np.clip((1 / (1 + np.exp(-logit - noise * random.normal(size=rows)))).round(decimals), 0.01, 0.99)
        cvr = np.where(clicked == 1, random.random(rows), np.nan)
        pcvr = random.random(rows)
        for n in range(rows):
            label = None if np.isnan(cvr[n]) else float(cvr[n])
            parts.append((model, int(clicked[n]), label, float(pctr[n]), float(pcvr[n])))
    return spark.createDataFrame(parts, SCHEMA)


def of(model: str, frame: DataFrame) -> dict[str, np.ndarray]:
    table = frame.where(f"model = '{model}'").toPandas()
    return {name: table[name].to_numpy() for name in ("clicked", "cvr", "pctr", "pcvr")}


def figures(frame: DataFrame, models: Sequence[str], tasks: Sequence[Task]) -> list[Figure]:
    """All rows are of one user."""
    return evaluate(frame.withColumn("user_id", F.lit(1)), "run-1", models, tasks).figures


def by_metric(found: Sequence[Figure]) -> dict[tuple[str, str], Figure]:
    return {(one.model, one.metric): one for one in found}


def pairwise(values: dict[str, np.ndarray]) -> tuple[float, float]:
    """AUC and DeLong's standard error, pair by pair."""
    positive, negative = values["pctr"][values["clicked"] == 1], values["pctr"][values["clicked"] == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    variance = wins.mean(1).var(ddof=1) / len(positive) + wins.mean(0).var(ddof=1) / len(negative)
    return float(wins.mean()), float(np.sqrt(variance))


@pytest.mark.parametrize("partitions", ["1", "7"])
def test_figures_are_those_of_plain_references(spark: SparkSession, partitions: str) -> None:
    frame = scored(spark).repartition(5).persist()
    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", partitions)
    try:
        found = by_metric(figures(frame, MODELS, TASKS))
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", before or "2")
    for model in MODELS:
        values = of(model, frame)
        value, error = pairwise(values)
        assert found[model, "gauc"].value == pytest.approx(value, abs=1e-12), "of one user"
        one = found[model, "auc"]
        assert (one.value, one.n, one.task, one.run_id) == (pytest.approx(value, abs=1e-12), 500, "ctr", "run-1")
        positives = int(values["clicked"].sum())
        expected = intervals.auc(value, error**2, positives, 500 - positives)
        assert (one.ci_low, one.ci_high) == pytest.approx(expected, abs=1e-12)
        assert one.ci_low == pytest.approx(value - 1.96 * error, abs=0.003), "many rows, far from 1: the usual one"
        labelled = ~np.isnan(values["cvr"])
        errors = (values["cvr"] - values["pcvr"])[labelled] ** 2
        one = found[model, "mse"]
        assert (one.value, one.n, one.task) == (pytest.approx(errors.mean()), labelled.sum(), "cvr")
        assert one.ci_high == pytest.approx(errors.mean() + 1.97 * errors.std(ddof=1) / np.sqrt(len(errors)), rel=0.01)
        loss = -np.where(values["clicked"] == 1, np.log(values["pctr"]), np.log(1 - values["pctr"]))
        assert found[model, "log_loss"].value == pytest.approx(loss.mean())
    base, other = found["single_task", "auc"], found["layer_share", "auc"]
    assert other.gain == pytest.approx((other.value - base.value) / base.value)
    assert (base.gain, base.baseline, other.baseline) == (0.0, "single_task", "single_task")


def test_a_tie_and_an_interval_by_hand(spark: SparkSession) -> None:
    """Clicked 0.8 and 0.4, others 0.4 and 0.2: placements 1 and 0.75 of either kind, so AUC 0.875.

    Their variance is 1/32 of either kind, DeLong's (1/32) / 2 + (1/32) / 2. Four rows leave nearly every area possible.
    The truth ranks them perfectly, which four rows do not prove either.
    """
    rows = [("b", 1, 1.0, 0.8, 0.5), ("b", 1, 0.5, 0.4, 0.5), ("b", 0, None, 0.4, 0.5), ("b", 0, None, 0.2, 0.5)]
    rows += [("a", *row[1:]) for row in rows]
    rows += [(TRUTH, row[1], row[2], 0.9 if row[1] else 0.1, row[2] or 0.5) for row in rows[:4]]
    found = by_metric(figures(spark.createDataFrame(rows, SCHEMA), ["b", "a"], TASKS))
    one = found["b", "auc"]
    assert (one.value, one.n) == (0.875, 4)
    assert (one.ci_low, one.ci_high) == pytest.approx(intervals.auc(0.875, 1 / 32, 2, 2))
    assert (found["b", "mse"].value, found["b", "mse"].n) == (0.125, 2)
    assert {one.baseline for one in found.values()} == {"b"}, "the first, where there is no single_task"
    perfect = found[TRUTH, "auc"]
    assert (perfect.value, perfect.ci_high) == (1.0, 1.0)
    assert 0 < perfect.ci_low < 0.5
    assert perfect.gain == pytest.approx(1 / 0.875 - 1)
    assert found[TRUTH, "mse"].value == 0.0


def test_all_scores_equal_is_an_auc_of_one_half(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("x", n % 2, 0.5 if n % 2 else None, 0.3, 0.5) for n in range(10)], SCHEMA)
    one = by_metric(figures(frame, ["x"], TASKS))["x", "auc"]
    assert (one.value, one.ci_low, one.ci_high) == (0.5, 0.5, 0.5)


def test_further_tasks_have_figures_of_their_own(spark: SparkSession) -> None:
    """`finish` is judged by AUC, where it has a label; `share` by MSE. The truth knows neither."""
    further = toy_conf(
        "tasks.finish={label: cast(cvr >= 0.95 as float), loss: cross_entropy, metric: auc}",
        "tasks.share={label: cvr * cvr, loss: squared_error, metric: mse}",
    )
    schema = f"{SCHEMA}, finish double, pfinish double, share double, pshare double"
    random = np.random.default_rng(1)
    rows: list[tuple] = []
    for n in range(60):
        cvr, pfinish = float(random.random()), round(float(random.random()), 1)
        labels = (cvr, float(cvr > 0.6), cvr**2) if n % 3 else (None, None, None)
        known = n % 2, labels[0], float(random.random()), 0.5
        rows += [(model, *known, labels[1], pfinish, labels[2], 0.3) for model in ("x", "y")]
        rows.append((TRUTH, *known, labels[1], None, labels[2], None))
    frame = spark.createDataFrame(rows, schema)
    tasks = list(named_tasks(further).values())
    found = {(one.model, one.task, one.metric): one for one in figures(frame, ["x", "y"], tasks)}
    known = {("ctr", metric) for metric in ("auc", "gauc", "ece", "log_loss")} | {("cvr", "ece"), ("cvr", "mse")}
    assert {key[1:] for key in found if key[0] == TRUTH} == known, "equal predictions have no order"
    further = {("finish", metric) for metric in ("auc", "gauc", "ece")} | {("share", "mse"), ("share", "ece")}
    assert {key[1:] for key in found if key[0] == "x"} == {*known, *further}
    mine = frame.where("model = 'x' and finish is not null").toPandas()
    value, error = pairwise({"pctr": mine["pfinish"].to_numpy(), "clicked": mine["finish"].to_numpy()})
    one = found["x", "finish", "auc"]
    assert (one.value, one.n) == (pytest.approx(value, abs=1e-12), 40)
    positives = int(mine["finish"].sum())
    assert one.ci_high == pytest.approx(intervals.auc(value, error**2, positives, 40 - positives).high, abs=1e-12)
    for one in found.values():
        assert one.ci_low <= one.value <= one.ci_high
        assert one.ci_low >= (-1 if one.metric == "spearman" else 0)
        assert one.ci_high <= 1 or one.metric == "log_loss"
    errors = (mine["share"] - 0.3) ** 2
    one = found["x", "share", "mse"]
    assert (one.value, one.n, one.gain) == (pytest.approx(errors.mean()), 40, 0.0)
    text = as_text(list(found.values()), ["x", "y"], tasks).splitlines()
    titles = ["CVR MSE", "CTR AUC", "FINISH AUC", "SHARE MSE"]
    assert [text[0].index(title) for title in titles] == sorted(text[0].index(title) for title in titles)
    assert text[-1].split()[0] == "(truth)"
    assert text[-1].endswith("-")

    lacking = frame.withColumn("pfinish", F.when(F.col("model") != "y", F.col("pfinish")))
    with pytest.raises(DataError, match="60 of 60 predictions of y are null"):
        figures(lacking, ["x", "y"], tasks)
    with pytest.raises(DataError, match=r"FINISH AUC of x needs .* predictions hold 40 and 0"):
        figures(frame.withColumn("finish", F.col("finish") * 0 + 1), ["x", "y"], tasks)
    with pytest.raises(DataError, match=r"FINISH AUC of x needs .* predictions hold 0 and 0"):
        figures(frame.withColumn("finish", F.lit(None).cast("double")), ["x", "y"], tasks)
    with pytest.raises(DataError, match="SHARE MSE of x needs rows with a label; the predictions hold 0"):
        figures(frame.withColumn("share", F.lit(None).cast("double")), ["x", "y"], tasks)


GOOD = [("x", n % 2, 0.5 if n % 2 else None, 0.1 * n, 0.5) for n in range(1, 9)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("x", 1, 0.5, 0.1 * n, 0.5) for n in range(1, 9)], "CTR AUC of x needs .* predictions hold 8 and 0"),
        ([("x", 0, 0.5, 0.1 * n, 0.5) for n in range(1, 9)], "CTR AUC of x needs .* predictions hold 0 and 8"),
        ([("x", n % 2, None, 0.1 * n, 0.5) for n in range(1, 9)], "CVR MSE of x needs .* predictions hold 0"),
        ([("y", *row[1:]) for row in GOOD], "no predictions of x; run `ncs predict`"),
        ([*GOOD, ("x", None, None, 0.5, 0.5)], "1 of 9 predictions of x are of impressions that silver/samples does"),
        ([*GOOD, ("x", 1, None, math.nan, 0.5)], r"1 of 9 predictions of x are null, NaN or not inside \(0, 1\)"),
        ([*GOOD, ("x", 1, None, 1.0, 0.5)], "1 of 9 predictions of x are null"),
        ([*GOOD, ("x", 1, 0.5, 0.5, None)], "1 of 9 predictions of x are null"),
    ],
    ids=["only clicks", "no click", "no label", "other model", "no sample", "nan", "saturated", "null"],
)
def test_rows_that_give_no_figure_are_refused(spark: SparkSession, rows: list[tuple], message: str) -> None:
    with pytest.raises(DataError, match=message):
        figures(spark.createDataFrame(rows, SCHEMA), ["x"], TASKS)


def test_a_metric_that_joins_is_one_entry(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its error alone follow the figure in Spark with its interval, that of arrays, and the values of the rows."""
    joined = Metric(
        "mae",
        "MAE",
        "the mean absolute error",
        more_is_better=False,
        kinds=frozenset({Kind.REGRESSION}),
        error=lambda f, label, prediction: f.abs(label - prediction),
    )
    monkeypatch.setitem(METRICS, joined.name, joined)
    frame = scored(spark)
    found = by_metric(figures(frame, MODELS, TASKS))
    assert [model for model, metric in found if metric == "mae"] == ["layer_share", "single_task"]
    for model in MODELS:
        values = of(model, frame)
        there = ~np.isnan(values["cvr"])
        labels, scores = values["cvr"][there], values["pcvr"][there]
        one = found[model, "mae"]
        assert (one.task, one.n) == ("cvr", there.sum())
        assert one.value == pytest.approx(np.abs(labels - scores).mean())
        assert one.ci_low < one.value < one.ci_high
        assert joined.figure(labels, scores) == pytest.approx(one.value)
        assert joined.values(labels, scores).mean() == pytest.approx(one.value)
