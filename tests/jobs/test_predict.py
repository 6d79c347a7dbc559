"""The stage that scores: calibration is fitted on the rows that chose the epoch, and on no others."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from scipy.optimize import isotonic_regression

from jobs.job import Job
from jobs.pipeline import predict
from ncs.evaluation.calibration import Curve, from_rows
from ncs.lake import layout, storage
from ncs.lake.layout import Lake
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from ncs.tasks import CTR, tasks_of
from tests.evaluation.factories import put
from tests.factories import toy_conf, write_toy_lake
from tests.training.faults import trained

CONF = toy_conf("calibration=isotonic", "train.models=single_task", "train.epochs=1")
SHOWN = tasks_of(CONF)[CTR].table


@pytest.fixture
def run(spark: SparkSession, lake: Lake) -> Run:
    """A trained run, as `ncs train` leaves it."""
    run = trained(write_toy_lake(lake, CONF, rows=400), CONF)
    storage.write_json(storage.join(run.folder, "run.json"), run.describe())
    storage.write_json(lake.uri("models", "latest.json"), {"run_id": run.run_id})
    rows = encoded(spark, lake, "test")[["impression_id", "user_id", "video_id", "day"]]
    types = {"impression_id": pa.string(), "user_id": pa.int64(), "video_id": pa.int64(), "day": pa.date32()}
    put(lake, layout.SAMPLES, rows.to_dict("records"), types, *CONF.logs.days)
    return run


def encoded(spark: SparkSession, lake: Lake, split: str) -> pd.DataFrame:
    return spark.read.format("delta").load(lake.uri(SHOWN)).where(f"split = '{split}'").toPandas()


def fitted(spark: SparkSession, lake: Lake) -> dict[tuple[str, str], Curve]:
    predict.run(Job(CONF, lake, CONF.logs.days, quiet=True))
    rows = spark.read.format("delta").load(lake.uri(layout.CALIBRATION)).collect()
    return from_rows(row.asDict() for row in rows)


def test_no_row_but_those_of_validation_is_fitted_on(spark: SparkSession, lake: Lake, run: Run) -> None:
    curves = fitted(spark, lake)
    rows = encoded(spark, lake, "validation")
    model = Predictor.load(run.folder, "single_task", CONF, field_sizes(run))
    predicted = model.predict(rows[list(CONF.fields)].to_numpy())
    for task, label in (("ctr", "clicked"), ("cvr", "cvr")):
        known = pd.DataFrame({"x": predicted[task], "y": rows[label].to_numpy(dtype=float)}).dropna()
        means = known.groupby(np.log(known.x / (1 - known.x)).round(3)).agg(
            x=("x", "mean"), y=("y", "mean"), n=("y", "size")
        )
        expected = isotonic_regression(means.y.to_numpy(), weights=means.n.to_numpy()).x
        assert 30 < len(means) <= len(known) < 200
        assert curves["single_task", task].of(means.x.to_numpy()) == pytest.approx(expected)

    before = DeltaTable(lake.uri(layout.CALIBRATION)).version()
    DeltaTable(lake.uri(SHOWN)).update(updates={"clicked": "1 - clicked"})
    assert same(fitted(spark, lake), curves)
    assert DeltaTable(lake.uri(layout.CALIBRATION)).version() == before, "it is there"
    storage.remove(lake.uri(layout.CALIBRATION))
    assert same(fitted(spark, lake), curves), "of the version that was trained on"
    assert Path(lake.uri(layout.PREDICTIONS)).exists()


def same(left: dict[tuple[str, str], Curve], right: dict[tuple[str, str], Curve]) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[key], right[key]) for key in left)
