"""Calibration and errors by part of the rows, against plain references."""

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from ncs.config import load
from ncs.errors import ConfigError
from ncs.evaluation.parts import ALL, BINS, PREDICTION, by_part, calibration_error, part_names, with_histories
from ncs.tasks import named_tasks
from tests.factories import ROOT, toy_conf

TASKS = list(named_tasks(toy_conf()).values())
SLICES = {"length_seconds": [15.0, 60.0], "scene": None}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Predictions of `even` are right on average, those of `bold` too far from the middle."""
    random = np.random.default_rng(1)
    rows = 4000
    chance = random.random(rows).round(3) * 0.98 + 0.01
    clicked = (random.random(rows) < chance).astype(int)
    cvr = np.where(clicked == 1, random.random(rows), np.nan)
    shown = {"length_seconds": random.choice([5.0, 15.0, 90.0, np.nan], rows), "scene": random.choice(["x", "y"], rows)}
    bold = np.clip(0.5 + 1.4 * (chance - 0.5), 0.01, 0.99)
    parts = [
        pd.DataFrame({"model": model, "clicked": clicked, "cvr": cvr, "pctr": pctr, "pcvr": 0.5, **shown})
        for model, pctr in (("even", chance), ("bold", bold))
    ]
    return pd.concat(parts, ignore_index=True)


def test_parts_are_those_of_plain_references(spark: SparkSession, frame: pd.DataFrame) -> None:
    rows = spark.createDataFrame(frame).selectExpr("*", "nanvl(cvr, null) AS known").drop("cvr")
    found = by_part(rows.withColumnRenamed("known", "cvr"), "r", SLICES, TASKS)
    by_key = {(one.model, one.task, one.slice, one.part): one for one in found}
    assert len(by_key) == len(found)
    mine = frame[frame["model"] == "bold"]
    expected = {
        (ALL, ALL): mine,
        ("length_seconds", "under 15"): mine[mine["length_seconds"] < 15],
        ("length_seconds", "15 to 60"): mine[mine["length_seconds"] == 15],
        ("length_seconds", "60 and more"): mine[mine["length_seconds"] > 60],
        ("length_seconds", "unknown"): mine[mine["length_seconds"].isna()],
        ("scene", "x"): mine[mine["scene"] == "x"],
        ("scene", "y"): mine[mine["scene"] == "y"],
        (PREDICTION, "0.95 to 1.00"): mine[mine["pctr"] >= 0.95],
    }
    for (name, part), for_subgroup in expected.items():
        one = by_key["bold", "ctr", name, part]
        clicked, pctr = for_subgroup["clicked"], for_subgroup["pctr"]
        losses = -np.where(clicked == 1, np.log(pctr), np.log1p(-pctr))
        assert one.n == len(for_subgroup) > 100
        assert (one.label, one.prediction) == (pytest.approx(clicked.mean()), pytest.approx(pctr.mean()))
        assert one.bias_error == pytest.approx((pctr - clicked).std() / np.sqrt(len(for_subgroup)))
        assert (one.mse, one.log_loss) == (pytest.approx(((pctr - clicked) ** 2).mean()), pytest.approx(losses.mean()))
        assert one.log_loss_error == pytest.approx(losses.std(ddof=1) / np.sqrt(len(for_subgroup)))
    lengths = [one for one in found if (one.model, one.task, one.slice) == ("even", "cvr", "length_seconds")]
    assert [one.part for one in lengths] == ["under 15", "15 to 60", "60 and more", "unknown"], "in order"
    assert sum(one.n for one in lengths) == mine["cvr"].notna().sum(), "the rows that have a label"


def test_calibration_error_tells_the_bold_from_the_even(spark: SparkSession, frame: pd.DataFrame) -> None:
    ctr = [task for task in TASKS if task.name == "ctr"]
    parts = by_part(spark.createDataFrame(frame), "r", {}, ctr)
    found = {one.model: one for one in calibration_error(parts)}
    for model, rows in frame.groupby("model"):
        gap = (rows["pctr"] - rows["clicked"]).groupby(np.minimum(np.floor(rows["pctr"] * BINS), BINS - 1))
        one, plain = found[str(model)], gap.sum().abs().sum() / len(rows)
        assert one.low <= one.value < plain < one.high, "debiased"
    bold = frame[frame["model"] == "bold"]
    even = frame[frame["model"] == "even"]
    assert found["bold"].value == pytest.approx(
        np.abs(bold["pctr"].to_numpy() - even["pctr"].to_numpy()).mean(), abs=0.02
    )
    assert found["even"].value < 0.04 < found["bold"].value
    assert found["even"].low < 0.01 < 0.04 < found["bold"].low


def test_histories_count_the_training_days(spark: SparkSession) -> None:
    schema = "user_id long, video_id long"
    training = spark.createDataFrame([(1, 7), (1, 8), (2, 7)], schema)
    rows = with_histories(spark.createDataFrame([(1, 7), (3, 8), (2, 9)], schema), training)
    found = {(row.user_id, row.video_id): (row.user_impressions, row.video_impressions) for row in rows.collect()}
    assert found == {(1, 7): (2, 2), (3, 8): (0, 1), (2, 9): (1, 0)}
    assert part_names("user_impressions", [1, 10]) == ["new", "1 to 10", "10 and more"]


def test_edges_that_do_not_rise_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"slices\.position.*edges rise from one to the next"):
        load(ROOT / "conf" / "demo.yaml", ["slices.position=[4, 2]"])
