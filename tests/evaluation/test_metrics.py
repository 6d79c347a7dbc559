"""Figures in Spark against plain references on the same rows."""

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession

from ncs.errors import DataError
from ncs.evaluation.metrics import Z95, evaluate

SCHEMA = "system string, clicked int, cvr double, pctr double, pcvr double"


def scored(spark: SparkSession, seed: int = 0, rows: int = 500, decimals: int = 2) -> DataFrame:
    """Two systems; scores rounded, so that many are tied."""
    random = np.random.default_rng(seed)
    parts: list[tuple] = []
    for system, noise in (("single_task", 2.0), ("layer_share", 1.0)):
        logit = random.normal(size=rows)
        clicked = (random.random(rows) < 1 / (1 + np.exp(-logit))).astype(int)
        pctr = np.clip((1 / (1 + np.exp(-logit - noise * random.normal(size=rows)))).round(decimals), 0.01, 0.99)
        cvr = np.where(clicked == 1, random.random(rows), np.nan)
        pcvr = random.random(rows)
        for n in range(rows):
            label = None if np.isnan(cvr[n]) else float(cvr[n])
            parts.append((system, int(clicked[n]), label, float(pctr[n]), float(pcvr[n])))
    return spark.createDataFrame(parts, SCHEMA)


def of(system: str, frame: DataFrame) -> dict[str, np.ndarray]:
    table = frame.where(f"system = '{system}'").toPandas()
    return {name: table[name].to_numpy() for name in ("clicked", "cvr", "pctr", "pcvr")}


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
        found = {(one.system, one.metric): one for one in evaluate(frame, "run-1")}
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", before or "2")
    for system in ("single_task", "layer_share"):
        values = of(system, frame)
        value, error = pairwise(values)
        one = found[system, "auc"]
        assert (one.value, one.n, one.task, one.run_id) == (pytest.approx(value, abs=1e-12), 500, "ctr", "run-1")
        assert one.ci_low == pytest.approx(value - Z95 * error, abs=1e-12)
        labelled = ~np.isnan(values["cvr"])
        errors = (values["cvr"] - values["pcvr"])[labelled] ** 2
        one = found[system, "mse"]
        assert (one.value, one.n, one.task) == (pytest.approx(errors.mean()), labelled.sum(), "cvr")
        assert one.ci_high == pytest.approx(errors.mean() + Z95 * errors.std(ddof=1) / np.sqrt(len(errors)))
        loss = -np.where(values["clicked"] == 1, np.log(values["pctr"]), np.log(1 - values["pctr"]))
        assert found[system, "log_loss"].value == pytest.approx(loss.mean())
    base, other = found["single_task", "auc"], found["layer_share", "auc"]
    assert other.gain == pytest.approx((other.value - base.value) / base.value)
    assert (base.gain, base.baseline, other.baseline) == (0.0, "single_task", "single_task")


def test_all_scores_equal_is_an_auc_of_one_half(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("x", n % 2, 0.5 if n % 2 else None, 0.3, 0.5) for n in range(10)], SCHEMA)
    (one,) = [figure for figure in evaluate(frame, "r") if figure.metric == "auc"]
    assert (one.value, one.ci_low, one.ci_high) == (0.5, 0.5, 0.5)


def test_a_perfect_ranking_is_1(spark: SparkSession) -> None:
    frame = spark.createDataFrame(
        [("x", int(n > 4), 0.1 * n if n > 4 else None, n / 11, 0.5) for n in range(10)], SCHEMA
    )
    (one,) = [figure for figure in evaluate(frame, "r") if figure.metric == "auc"]
    assert one.value == 1.0


def test_rows_of_one_kind_are_refused(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("x", 1, 0.5, 0.1 * n, 0.5) for n in range(1, 9)], SCHEMA)
    with pytest.raises(DataError, match="needs clicked and other rows; the predictions hold 8 and 0"):
        evaluate(frame, "r")
    frame = spark.createDataFrame([("x", n % 2, None, 0.1 * n, 0.5) for n in range(1, 9)], SCHEMA)
    with pytest.raises(DataError, match="CVR MSE of x needs clicked rows with a length; the predictions hold 0"):
        evaluate(frame, "r")
