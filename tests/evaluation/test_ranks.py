"""AUC within users and the correlation of ranks, against plain references on the same rows."""

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from scipy import stats

from ncs.evaluation.ranks import grouped_auc, spearman
from ncs.metrics import auc
from ncs.tasks import named_tasks
from tests.factories import toy_conf

TASKS = named_tasks(toy_conf())


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Two models, users of 1 to 12 rows, of whom some click all or nothing; many scores are tied."""
    random = np.random.default_rng(4)
    rows = [
        {"model": model, "user_id": user, "clicked": clicked, "cvr": round(random.random(), 1), "noise": noise}
        for model, noise in (("a", 1.0), ("b", 3.0))
        for user in range(40)
        for clicked in random.integers(0, 2, size=1 + user % 12)
    ]
    found = pd.DataFrame(rows)
    drawn = random.normal(size=len(found)) * found["noise"]
    found["pctr"] = (1 / (1 + np.exp(-found["clicked"] - 0.3 * found["user_id"] % 3 - drawn))).round(1)
    found["pcvr"] = (found["cvr"] + 0.2 * drawn).round(1)
    found.loc[found["clicked"] == 0, "cvr"] = np.nan
    return found


def test_auc_within_users_is_the_weighted_mean_of_theirs(spark: SparkSession, frame: pd.DataFrame) -> None:
    found = {one.model: one for one in grouped_auc(spark.createDataFrame(frame), TASKS["ctr"])}
    for model, rows in frame.groupby("model"):
        mixed = [user for _, user in rows.groupby("user_id") if user["clicked"].nunique() == 2]
        values = np.array([auc(user["clicked"].to_numpy(), user["pctr"].to_numpy()) for user in mixed])
        weights = np.array([len(user) for user in mixed])
        assert 10 < len(mixed) < 40
        mean = np.average(values, weights=weights)
        one = found[str(model)]
        assert (one.value, one.n) == (pytest.approx(mean, abs=1e-12), weights.sum())
        spread = (weights * (values - mean)).std(ddof=1) * np.sqrt(len(mixed)) / weights.sum()
        assert one.error == pytest.approx(spread, rel=0.02), "the error of a ratio of sums over users"
    assert found["a"].value > found["b"].value + 0.05


def test_telling_users_apart_is_worth_nothing_within_them(spark: SparkSession) -> None:
    rows = [("a", user, int(n < user), user / 10) for user in range(1, 5) for n in range(6)]
    frame = spark.createDataFrame(rows, "model string, user_id long, clicked int, pctr double")
    (found,) = grouped_auc(frame, TASKS["ctr"])
    assert (found.value, found.error, found.n) == (0.5, 0.0, 24)


def test_rank_correlation_is_that_of_scipy(spark: SparkSession, frame: pd.DataFrame) -> None:
    labelled = spark.createDataFrame(frame).selectExpr("model", "nanvl(cvr, null) AS cvr", "pcvr")
    found = {one.model: one for one in spearman(labelled, TASKS["cvr"])}
    for model, rows in frame.dropna(subset="cvr").groupby("model"):
        one = found[str(model)]
        assert (one.value, one.n) == (pytest.approx(stats.spearmanr(rows["cvr"], rows["pcvr"])[0]), len(rows))
    assert 0.2 < found["b"].value < found["a"].value


def test_the_error_of_a_rank_correlation_is_what_samples_show(spark: SparkSession) -> None:
    random = np.random.default_rng(2)
    drawn = random.normal(size=(300, 2, 60))
    drawn[:, 1] += drawn[:, 0]
    rows = [(f"{n}", *pair) for n, sample in enumerate(drawn) for pair in sample.T.tolist()]
    found = spearman(spark.createDataFrame(rows, "model string, cvr double, pcvr double"), TASKS["cvr"])
    values = np.array([one.value for one in found])
    assert len(found) == 300
    assert np.mean([one.error for one in found]) == pytest.approx(values.std(ddof=1), rel=0.15)


def test_what_is_all_equal_has_no_order(spark: SparkSession) -> None:
    frame = spark.createDataFrame([("a", 0.1 * n, 0.5) for n in range(9)], "model string, cvr double, pcvr double")
    assert spearman(frame, TASKS["cvr"]) == []
