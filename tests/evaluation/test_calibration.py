"""Isotonic calibration: the curve of plain least squares, what it does to rows that it has not seen."""

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from scipy.optimize import isotonic_regression

from ncs.evaluation.calibration import Curve, apply, as_rows, fit, from_rows
from ncs.evaluation.metrics import evaluate
from ncs.tasks import named_tasks
from tests.factories import toy_conf

TASKS = list(named_tasks(toy_conf()).values())


def bold(rows: int, seed: int) -> pd.DataFrame:
    """Predictions too far from the middle, with ties; CVR is known of clicks alone."""
    random = np.random.default_rng(seed)
    chance = random.random(rows).round(2) * 0.98 + 0.01
    clicked = (random.random(rows) < 0.25 + chance / 2).astype(int)
    cvr = np.where(clicked == 1, np.clip(chance**2 + random.normal(0, 0.1, rows), 0, 1), np.nan)
    whole = {"impression_id": np.arange(rows), "user_id": np.arange(rows) % 50, "clicked": clicked, "cvr": cvr}
    return pd.concat([pd.DataFrame({"model": s, **whole, "pctr": chance, "pcvr": chance}) for s in ("a", "b")])


def curve_of(rows: pd.DataFrame, task: str) -> Curve:
    label = {"ctr": "clicked", "cvr": "cvr"}[task]
    return fit(rows[label].to_numpy(), rows[f"p{task}"].to_numpy())


def test_the_curve_is_that_of_least_squares_and_never_falls() -> None:
    rows = bold(3000, seed=1)
    mine = rows[rows["model"] == "a"].dropna(subset="cvr")
    points = mine.groupby("pcvr")["cvr"].agg(["mean", "size"])
    expected = isotonic_regression(points["mean"].to_numpy(), weights=points["size"].to_numpy()).x
    curve = curve_of(rows[rows["model"] == "a"], "cvr")
    assert curve.of(points.index.to_numpy()) == pytest.approx(expected)
    assert (np.diff(curve.prediction) > 0).all()
    assert (np.diff(curve.calibrated) >= 0).all()
    assert len(curve.prediction) < len(points), "of a level part only the ends are kept"
    ends = curve.of(np.array([0.0, 1.0, np.nan]))
    assert ends[:2].tolist() == [curve.calibrated[0], curve.calibrated[-1]], "level beyond what was seen"
    assert np.isnan(ends[2])


def test_rows_that_were_not_seen_are_calibrated(spark: SparkSession) -> None:
    seen = bold(3000, seed=1)
    curves = {(model, task): curve_of(seen, task) for model in ("a", "b") for task in ("ctr", "cvr")}
    test = bold(3000, seed=2)
    found = evaluate(spark.createDataFrame(test).replace(float("nan"), None), "r", ["a", "b"], TASKS, {}, curves)
    errors = {(one.model, one.task, one.metric): one.value for one in found.figures}
    for task in ("ctr", "cvr"):
        assert errors["a", task, "ece_calibrated"] < 0.04 < 0.1 < errors["a", task, "ece"]
    bins = [one for one in found.parts if (one.model, one.task, one.slice) == ("a", "ctr", "calibrated")]
    assert sum(one.n for one in bins) == len(test) / 2
    assert all(0.2 < one.prediction < 0.8 for one in bins), "the boldness is gone"


def test_a_model_without_a_curve_is_left_out(spark: SparkSession) -> None:
    curve = Curve(np.array([0.2, 0.6]), np.array([0.3, 0.5]))
    rows = spark.createDataFrame(
        [("a", 1, 0.5, 0.4, 0.1), ("truth", 1, 0.5, 0.4, 0.1)],
        "model string, clicked int, cvr double, pctr double, pcvr double",
    )
    (row,) = apply(rows, {("a", "ctr"): curve, ("a", "cvr"): curve}, TASKS).collect()
    assert (row.model, row.clicked, row.cvr) == ("a", 1, 0.5)
    assert (row.pctr, row.pcvr) == (pytest.approx(0.4), 0.3)


def test_a_curve_comes_back_from_its_rows() -> None:
    curves = {
        ("a", "ctr"): Curve(np.array([0.2, 0.6]), np.array([0.3, 0.5])),
        ("b", "cvr"): Curve(np.array([0.5]), np.array([0.4])),
    }
    back = from_rows(reversed(as_rows("r", curves)))
    assert {key: np.stack(curve).tolist() for key, curve in back.items()} == {
        ("a", "ctr"): [[0.2, 0.6], [0.3, 0.5]],
        ("b", "cvr"): [[0.5], [0.4]],
    }
