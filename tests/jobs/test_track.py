"""Tracking: what a file store of MLflow holds of a real finished run, and that nothing knows of MLflow before."""

import io
import json
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.job import Job
from jobs.pipeline import track
from ncs.errors import ConfigError, DataError
from ncs.lake import storage
from ncs.lake.layout import Lake
from ncs.runs.run import Run
from tests.factories import ROOT, toy_conf, write_toy_lake
from tests.training.faults import trained

MODELS = ["single_task", "connection_share"]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # newer versions ask for it
    return (tmp_path / "mlruns").as_uri()


@pytest.fixture
def run(lake: Lake) -> Run:
    conf = toy_conf(f"train.models=[{', '.join(MODELS)}]")
    run = trained(write_toy_lake(lake, conf, rows=400), conf)
    storage.write_json(storage.join(run.folder, "run.json"), run.describe())
    storage.write_json(lake.uri("models", "latest.json"), {"run_id": run.run_id})
    return run


def job(lake: Lake, uri: str | None) -> Job:
    conf = toy_conf(f"track.uri={uri or 'null'}", "track.experiment=toys")
    return Job(conf, lake, conf.logs.days, quiet=True)


def test_a_finished_run_is_read_back(lake: Lake, run: Run, store: str) -> None:
    from mlflow.tracking import MlflowClient

    track.run(job(lake, store))
    client = MlflowClient(tracking_uri=store)
    place = client.get_experiment_by_name("toys").experiment_id
    runs = {one.data.tags["ncs.model"]: one for one in client.search_runs([place])}
    assert set(runs) == set(MODELS)
    one = runs["connection_share"]
    assert (one.info.status, one.data.tags["ncs.run_id"]) == ("FINISHED", run.run_id)
    assert one.data.tags["data.gold/ctr_samples"] == str(run.versions["gold/ctr_samples"])
    assert one.data.params["train.learning_rate"] == "0.003"
    assert one.data.params["net.hidden"] == "[16, 8]"
    assert one.data.params["fields.user_id.encode"] == "vocabulary"

    folder = Path(run.folder) / "connection_share"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    joint = [(line["epoch"], line["validation"]["ctr_auc"]) for line in lines if line["phase"] == "joint"]
    assert len(joint) == 2
    assert history(client, one, "joint.validation.ctr_auc") == joint
    masks = storage.read_json(str(folder / "masks.json"))
    densities = [(found["round"], found["density"]["all"]) for found in masks["rounds"]["cvr"]]
    assert len(densities) == 3
    assert history(client, one, "mask.density.cvr") == densities
    assert "mask.jaccard" not in runs["single_task"].data.metrics

    files = {found.path for found in client.list_artifacts(one.info.run_id)}
    assert files == {"metrics.jsonl", "masks.json", "conflict.json", "facts.json", "run.json"}
    assert json.loads(Path(client.download_artifacts(one.info.run_id, "masks.json")).read_text()) == masks


def history(client: object, run: object, name: str) -> list[tuple[int, float]]:
    return sorted((one.step, one.value) for one in client.get_metric_history(run.info.run_id, name))  # type: ignore[attr-defined]


def test_a_run_is_logged_once_and_again_when_there_is_more_to_tell(lake: Lake, run: Run, store: str) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=store)
    track.run(job(lake, store), run.run_id)
    place = client.get_experiment_by_name("toys").experiment_id
    first = {one.info.run_id for one in client.search_runs([place])}
    track.run(job(lake, store))
    assert {one.info.run_id for one in client.search_runs([place])} == first
    storage.write_bytes(lake.uri("reports", run.run_id, "report.html"), b"<p>new</p>")
    track.run(job(lake, store))
    second = client.search_runs([place])
    assert len(second) == 2
    assert not first & {one.info.run_id for one in second}
    with pytest.raises(ConfigError, match=r"track\.uri: MLflow at nowhere:/x says: "):
        track.run(job(lake, "nowhere:/x"))


def test_what_is_missing_is_named(lake: Lake, run: Run) -> None:
    with pytest.raises(ConfigError, match=r"track\.uri is null; name an MLflow server"):
        track.run(job(lake, None))
    with pytest.raises(DataError, match=f"no finished run 'toy-0', it has {run.run_id}"):
        track.run(job(lake, "file:/nowhere"), "toy-0")
    with pytest.raises(DataError, match=r"no finished run '\.\./x'"):
        track.run(job(lake, "file:/nowhere"), "../x")


def test_without_mlflow_one_line_says_what_to_install(lake: Lake, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)  # as if it were not installed
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", None)
    demo = ["--conf", str(ROOT / "conf" / "demo.yaml"), "--set", "track.uri=file:/nowhere"]
    with redirect_stderr(io.StringIO()) as printed:
        assert main(["track", "--run", run.run_id, *demo, "--lake", lake.root]) == 2
    (line,) = printed.getvalue().splitlines()
    assert line == "ncs track: track needs MLflow, which is not installed: pip install 'mlflow-skinny>=2'"


def test_nothing_imports_mlflow_before_it_is_asked_to_log(lake: Lake, run: Run) -> None:
    code = (
        "import sys, pyarrow; from jobs.pipeline import daily, evaluate, predict, track, train; "
        "from jobs.cli import main; "
        f"main(['track', '--conf', {str(ROOT / 'conf' / 'demo.yaml')!r}, '--lake', {lake.root!r}]); "
        "print([name for name in sys.modules if name.split('.')[0] == 'mlflow'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.strip() == "[]", done.stderr
    assert "track.uri is null" in done.stderr
