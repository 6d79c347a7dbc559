"""The stage that scores: calibration is fitted on the rows that chose the epoch, and on no others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from scipy.optimize import isotonic_regression

from jobs.job import Job
from jobs.pipeline import predict, predict_days, progress
from ncs.days import Days
from ncs.errors import DataError
from ncs.evaluation.calibration import Curve, from_rows
from ncs.lake import layout, storage
from ncs.lake.layout import Lake
from ncs.metrics import auc
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from ncs.tasks import CTR, named_tasks
from tests.evaluation.factories import put
from tests.factories import toy_conf, write_toy_lake
from tests.training.faults import trained

CONF = toy_conf("calibration=isotonic", "train.models=single_task", "train.epochs=1")
SHOWN = named_tasks(CONF)[CTR].table


@pytest.fixture
def run(spark: SparkSession, lake: Lake) -> Run:
    """A trained run, as `ncs train` leaves it."""
    run = trained(write_toy_lake(lake, CONF, rows=400), CONF)
    storage.write_json(storage.join(run.folder, "run.json"), run.describe())
    storage.write_json(lake.uri("models", "latest.json"), {"run_id": run.run_id})
    rows = spark.read.format("delta").load(lake.uri(SHOWN)).toPandas()
    labels = {"clicked": pa.int32(), "cvr": pa.float64()}
    types = {"impression_id": pa.string(), "user_id": pa.int64(), "video_id": pa.int64(), "day": pa.date32(), **labels}
    rows = rows[list(types)].astype({"clicked": int}).replace({"cvr": {np.nan: None}})
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


def test_any_day_is_scored_as_the_model_learnt_its_ids(spark: SparkSession, lake: Lake, run: Run) -> None:
    job = Job(CONF, lake, CONF.logs.days, quiet=True)
    predict.run(job)
    by_run = stored(spark, lake)
    storage.remove(lake.uri(layout.PREDICTIONS))
    DeltaTable(lake.uri(layout.VOCABULARY)).update(updates={"id": "41 - id"})  # a later vocabulary
    days = replace(job, days=CONF.test_days)
    predict_days.run(days, f"{run.run_id}/single_task")
    by_day = stored(spark, lake)
    assert [row[0] for row in by_day] == [row[0] for row in by_run]
    assert [row[1:] for row in by_day] == [pytest.approx(row[1:], abs=1e-6) for row in by_run], "batches differ"
    (written,) = lake.records(layout.PREDICTIONS)
    assert written == f"{run.run_id}/single_task/{CONF.test_days}"
    version = lake.version(layout.PREDICTIONS)
    predict_days.run(days, None)
    assert lake.version(layout.PREDICTIONS) == version, "it is there"
    predict_days.run(replace(job, days=Days.parse("2022-04-09")), None)
    assert len(stored(spark, lake)) == len(by_run) + 400, "another day beside it"

    (chosen,) = predict_days.models(lake, None)
    figures = {one.metric: one for one in progress.evaluate_days(days, [chosen], list(CONF.test_days))}
    rows = spark.read.format("delta").load(lake.uri(SHOWN)).where(f"day = '{CONF.test_days}'").toPandas()
    rows = rows.merge(pd.DataFrame(by_run, columns=["impression_id", "pctr", "pcvr"]), on="impression_id")
    assert figures["auc"].value == pytest.approx(auc(rows.clicked.to_numpy(), rows.pctr.to_numpy()))
    assert figures["auc"].ci_low < figures["auc"].value < figures["auc"].ci_high
    assert figures["mse"].value == pytest.approx(((rows.cvr - rows.pcvr) ** 2).mean())
    assert figures["mse"].n == rows.cvr.notna().sum()
    assert (figures["mse"].trained_until, figures["mse"].day) == (CONF.train_days.last, CONF.test_days.last)
    version = lake.version(layout.PROGRESS)
    progress.run(days, None)
    assert lake.version(layout.PROGRESS) == version, "it is there"
    with pytest.raises(DataError, match="was trained on days up to 2022-04-09, so 2022-04-09 says nothing of it"):
        progress.run(replace(job, days=Days.parse("2022-04-09")), None)
    with pytest.raises(DataError, match="silver/samples has no day 2022-05-01"):
        predict_days.run(replace(job, days=Days.parse("2022-05-01")), None)


def stored(spark: SparkSession, lake: Lake) -> list[tuple[object, ...]]:
    rows = spark.read.format("delta").load(lake.uri(layout.PREDICTIONS))
    return [tuple(row) for row in rows.select("impression_id", "pctr", "pcvr").orderBy("impression_id").collect()]


def same(left: dict[tuple[str, str], Curve], right: dict[tuple[str, str], Curve]) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[key], right[key]) for key in left)
