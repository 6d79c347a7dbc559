"""MLflow's model registry follows the lake's: versions, aliases, and models that answer raw values. Without Spark."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from jobs.job import Job
from jobs.pipeline import promote, published
from ncs.errors import ConfigError
from ncs.lake.layout import Lake
from ncs.lake.registry import CANDIDATE, ModelRef, Registry
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from tests.factories import toy_conf, write_toy_lake
from tests.training.faults import trained

MODEL = "layer_share"
NAME = "videos"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # newer versions ask for it
    return (tmp_path / "mlruns").as_uri()


def train(lake: Lake, seed: int, models: str = MODEL) -> Run:
    run = trained(lake, toy_conf(f"train.models={models}", "train.epochs=1", f"train.seed={seed}"))
    run.write_description()
    return run


@pytest.mark.slow
def test_aliases_follow_the_lakes(lake: Lake, store: str, capsys: pytest.CaptureFixture[str]) -> None:
    import mlflow
    from mlflow.tracking import MlflowClient

    conf = toy_conf(f"track.uri={store}", "track.experiment=toys", f"track.model={NAME}")
    write_toy_lake(lake, conf, rows=300)
    runs = [train(lake, seed) for seed in (1, 2)]
    first, second = (ModelRef(run.run_id, MODEL) for run in runs)
    job, client = Job(conf, lake, conf.logs.days), MlflowClient(tracking_uri=store, registry_uri=store)
    promote.run(job, str(first), force=True)
    promote.run(job, str(second), force=True)
    Registry.read(lake).append(CANDIDATE, "register", first, "trained")
    published.publish(job, CANDIDATE, first)

    def versions() -> dict[str, str]:
        return {
            alias: str(client.get_model_version_by_alias(NAME, alias).version) for alias in ("champion", "candidate")
        }

    assert versions() == {"champion": "2", "candidate": "1"}
    tags = client.get_model_version(NAME, "2").tags
    assert (tags["ncs.run_id"], tags["ncs.model"]) == (second.run_id, MODEL)
    promote.run(job, str(second))
    promote.rollback(job)
    assert versions() == {"champion": "1", "candidate": "1"}
    assert len(client.search_model_versions(f"name='{NAME}'")) == 2, "none is written twice"
    assert f"{first} is {NAME} version 1, champion" in capsys.readouterr().err

    mlflow.set_tracking_uri(store)
    mlflow.set_registry_uri(store)
    served = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    ids = np.array([[3, 5], [0, 0]])
    expected = Predictor.load(runs[0].folder, MODEL, runs[0].conf, field_sizes(runs[0])).predict(ids)
    frame = served.metadata.get_input_schema()
    assert [column.name for column in frame.inputs] == ["user_id", "video_id"]
    found = served.predict(pd.DataFrame({"user_id": ["3", "nobody"], "video_id": ["5", "no video"]}))
    assert found["pctr"].to_numpy() == pytest.approx(expected["ctr"], abs=1e-6)
    assert found["pcvr"].to_numpy() == pytest.approx(expected["cvr"], abs=1e-6)


def test_without_an_address_nothing_is_published_and_a_wrong_one_is_named(lake: Lake, store: str) -> None:
    conf = toy_conf()
    write_toy_lake(lake, conf, rows=300)
    ref = ModelRef(train(lake, 1).run_id, MODEL)
    published.publish(Job(conf, lake, conf.logs.days, quiet=True), CANDIDATE, ref)
    wrong = conf.with_keys({"track.uri": "nowhere:/x"})
    with pytest.raises(ConfigError, match=r"track\.uri: MLflow at nowhere:/x says: "):
        published.publish(Job(wrong, lake, conf.logs.days, quiet=True), CANDIDATE, ref)


def test_a_model_that_cannot_be_exported_is_named_and_left_out(
    lake: Lake, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    conf = toy_conf(f"track.uri={store}")
    write_toy_lake(lake, conf, rows=300)
    ref = ModelRef(train(lake, 1, "mmoe").run_id, "mmoe")
    published.publish(Job(conf, lake, conf.logs.days, quiet=True), CANDIDATE, ref)
    assert f"{ref} is not in MLflow's registry: " in caplog.text
