"""A lake and a run of version 0.1, kept in `tests/data/lake_0.1.zip`, are migrated, reported on and scored with."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from jobs.cli import main
from jobs.pipeline.runs import latest_run
from ncs.lake import layout
from ncs.lake.layout import Lake
from ncs.runs.predictor import Predictor
from tests.factories import ROOT

RUN = "previous-1c6d98a4d4c0"
KEYS = ["name=previous", "logs.impressions=1500", "logs.days=2022-04-08..2022-04-10", "logs.synthetic.users=60"]
KEYS += ["logs.synthetic.videos=30", "train.epochs=1", "prune.rounds=1", "train.threads=1", "net.hidden=[16,8]"]
KEYS += [
    "net.embedding=4",
    "train.system=[single_task,connection_share]",
    "train.batch_size=64",
    "spark.master=local[2]",
]
COMMAND = ["--conf", str(ROOT / "conf" / "demo.yaml"), *(arg for key in KEYS for arg in ("--set", key))]


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("previous")
    with zipfile.ZipFile(ROOT / "tests" / "data" / "lake_0.1.zip") as kept:
        kept.extractall(folder)
    lake = Lake.at(str(folder))
    assert main(["migrate", *COMMAND, "--lake", lake.root, "--quiet"]) == 0
    return lake


def test_tables_have_their_new_columns_and_their_old_rows(previous: Lake) -> None:
    rows = {layout.PREDICTIONS: 1000, layout.EVALUATIONS: 21, layout.COMPARISONS: 8, layout.DIFFERENCES: 4}
    found = {table: previous.table(table).to_pandas() for table in rows}
    assert {table: len(frame) for table, frame in found.items()} == rows
    assert all("system" not in frame.columns for frame in found.values())
    assert set(found[layout.PREDICTIONS]["model"]) == {"single_task", "connection_share"}
    assert {"pctr_model", "pcvr_model"} <= set(previous.table(layout.SIMULATIONS).to_pandas().columns)
    assert set(previous.records(layout.PREDICTIONS)) == {RUN}


def test_a_run_scores_as_it_did(previous: Lake) -> None:
    """The predictions of then, from the weights of then: the ids are read from the samples of then."""
    run = latest_run(previous)
    assert (run.run_id, run.models) == (RUN, ["single_task", "connection_share"])
    conf = run.configuration
    version = run.lineage.tables["gold/ctr_samples"]
    samples = previous.read("gold/ctr_samples", version, ["impression_id", *conf.fields]).to_pandas()
    before = previous.table(layout.PREDICTIONS).to_pandas()
    before = before.loc[before["model"] == "connection_share", ["impression_id", "pctr", "pcvr"]]
    before = before.merge(samples, on="impression_id")
    predictor = Predictor.load(previous.uri("models", RUN), "connection_share", conf, run.sizes)
    predicted = predictor.predict(before[list(conf.fields)].to_numpy())
    assert np.allclose(predicted["ctr"], before["pctr"], atol=1e-6)
    assert np.allclose(predicted["cvr"], before["pcvr"], atol=1e-6)


@pytest.mark.slow
def test_it_is_reported_on(spark: SparkSession, previous: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *COMMAND, "--lake", previous.root]) == 0
    assert "connection_share" in capsys.readouterr().out
    assert Path(previous.root, "reports", RUN, "report.html").exists()
