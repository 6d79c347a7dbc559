"""Drift that `ncs daily` reports: of planted scores, labels and columns. Without Spark."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from jobs.job import Job
from jobs.pipeline import drift
from jobs.pipeline.chosen import load
from ncs.lake import layout
from ncs.lake.layout import Lake, Record
from ncs.lake.registry import ModelRef
from ncs.runs.predictor import validation_rows
from tests.factories import toy_conf, write_toy_lake
from tests.jobs.conftest import write_part
from tests.training.faults import trained

CONF = toy_conf("train.models=layer_share", "train.epochs=1")
DAY = CONF.test_days.last


def predict(lake: Lake, run_id: str, scores: dict[str, np.ndarray]) -> None:
    labels = DeltaTable(lake.uri("gold/ctr_samples")).to_pandas(partitions=[("day", "=", str(DAY))])
    frame = labels[["impression_id", "day"]].assign(run_id=run_id, model="layer_share")
    for name, values in scores.items():
        frame[name] = np.resize(values, len(frame))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    write_deltalake(lake.uri(layout.PREDICTIONS), table, mode="overwrite", partition_by=["run_id", "day"])


def test_scores_that_move_and_miss_the_labels_are_reported(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained(write_toy_lake(lake, CONF, rows=800), CONF)
    run.write_description()
    model = load(lake, ModelRef(run.run_id, "layer_share"))
    kept = {f"p{task}": validation_rows(run.model_folder("layer_share"), task)[1] for task in ("ctr", "cvr")}
    random = np.random.default_rng(0)
    predict(lake, run.run_id, {name: random.permutation(np.repeat(own, 5)) for name, own in kept.items()})
    same = {one.task.name: one for one in drift.scores(lake, model, DAY)}
    assert all(one.psi is not None and one.psi < 0.25 for one in same.values())
    labels = DeltaTable(lake.uri("gold/ctr_samples")).to_pandas(partitions=[("day", "=", str(DAY))])

    predict(lake, run.run_id, {"pctr": np.array([0.97, 0.98, 0.99]), "pcvr": kept["pcvr"]})
    ctr, cvr = drift.scores(lake, model, DAY)
    assert ctr.psi is not None
    assert ctr.psi > 1
    assert ctr.calibration == pytest.approx(0.98 / labels["clicked"].mean() - 1, abs=0.01)
    assert ctr.low < ctr.calibration < ctr.high
    assert "above gates.learnt.psi 0.25; calibration +" in ctr.text(CONF)
    assert "beyond promote.max_calibration 10%" in ctr.text(CONF)
    assert "above" not in same["ctr"].text(CONF)
    watched = labels[labels["cvr"].notna()]
    assert cvr.calibration == pytest.approx(
        pd.Series(np.resize(kept["pcvr"], len(labels)))[watched.index].mean() / watched["cvr"].mean() - 1, abs=1e-6
    )
    drift.report(Job(CONF, lake, CONF.logs.days), [model], DAY)
    assert f"drift: {model.ref}: CTR scores PSI" in capsys.readouterr().err


def test_columns_that_leave_the_bands_are_named(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    for day, values in ((8, [1, 2, 3]), (9, [1, 2, 3]), (10, [1, 2, 3]), (11, [1, 2, 3]), (12, [70, 80, 90])):
        quantiles = {"age": {"rows": 900, "values": [float(v) for v in np.repeat(values, 30)]}}
        facts = {"samples": 900, "clicked": 400, "unlabelled": 0, "mean_cvr": 0.5, "profile": {"quantiles": quantiles}}
        write_part(lake, layout.SAMPLES, 3, Record("label", f"2022-04-{day:02d}", {}, facts))
    job = Job(CONF, lake, CONF.logs.days)
    drift.report(job, [], DAY.replace(day=11))
    assert "drift: inputs of 2022-04-11: 1 figures within their bands (gates.learnt)" in capsys.readouterr().err
    drift.report(job, [], DAY.replace(day=12))
    assert "drift: inputs of 2022-04-12: psi.age " in capsys.readouterr().err
