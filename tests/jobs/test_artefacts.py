"""What a lake keeps beside its tables: JSON in any state, and files of a run that are swapped, edited or lost."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from jobs.job import Job
from jobs.pipeline import export, report, train
from jobs.pipeline.runs import latest_run, read_run
from jobs.pipeline.status import status
from jobs.pipeline.worker import work
from ncs.errors import DataError, NcsError, TrainingError
from ncs.lake import layout, storage, upkeep
from ncs.lake.layout import Lake
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run
from ncs.training.cluster import Cluster
from ncs.training.store import Store
from tests.factories import OVERRIDES, ROOT, toy_conf, write_toy_lake
from validation import verdicts
from validation.verdicts import Finding, Verdict

KEYS = ("train.models=[single_task, layer_share, connection_share]", "train.epochs=1", "prune.rounds=1")
CONF = toy_conf(*KEYS)
MODEL = "connection_share"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A lake with a finished run."""
    lake = Lake.at(str(tmp_path_factory.mktemp("artefacts") / "lake"))
    job = Job(CONF, write_toy_lake(lake, CONF, rows=400), CONF.logs.days, quiet=True)
    lake.bind(CONF)
    train.run(job)
    return job


@pytest.fixture
def job(trained: Job, tmp_path: Path) -> Job:
    """A copy of it."""
    lake = Lake.at(str(shutil.copytree(trained.lake.root, tmp_path / "copy")))
    return Job(CONF, lake, CONF.logs.days, quiet=True)


def folder(job: Job) -> Path:
    return Path(Run.of(CONF, job.lake).folder)


def test_nothing_to_train_costs_no_import_of_torch(job: Job) -> None:
    keys = [part for key in (*OVERRIDES, *KEYS) for part in ("--set", key)]
    command = ["train", "--conf", str(ROOT / "conf" / "demo.yaml"), *keys, "--lake", job.lake.root]
    code = f"import sys; from jobs.cli import main; print(main({command!r}), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.strip() == "0 False", done.stderr
    assert "train: nothing to train" in done.stderr


READERS: dict[str, Callable[[Job], object]] = {
    "lake.json": lambda job: job.lake.bind(CONF),
    "models/latest.json": lambda job: latest_run(job.lake),
    "run.json": lambda job: read_run(job.lake, folder(job).name).configuration,
    "manifest.json": lambda job: latest_run(job.lake),
    f"{MODEL}/facts.json": lambda job: Run.of(CONF, job.lake).facts(MODEL),
    f"{MODEL}/metrics.jsonl": lambda job: report.trained(job.lake, folder(job).name, {MODEL: MODEL}),
    f"{MODEL}/masks.json": lambda job: report.trained(job.lake, folder(job).name, {MODEL: MODEL}),
    f"{MODEL}/conflict.json": lambda job: report.trained(job.lake, folder(job).name, {MODEL: MODEL}),
}
"""File, below the lake or the run's folder -> what reads it back."""

STATES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "blank": lambda content: b"\n \n",
    "cut": lambda content: content[: len(content) // 2].rstrip(b"\n}"),  # within a value
    "a list": lambda content: b"[]",
    "a list of lists": lambda content: b"[[1, 2], [3]]",
    "a number": lambda content: b"7",
    "a text": lambda content: b'"x"',
    "null": lambda content: b"null",
    "true": lambda content: b"true",
    "no keys": lambda content: b"{}",
    "not UTF-8": lambda content: b"\xff\xfe" + content,
    "deep": lambda content: b"[" * 100_000,
    "YAML": lambda content: b"run_id: x",
}


def place(job: Job, name: str) -> Path:
    return Path(job.lake.root, name) if name in ("lake.json", "models/latest.json") else folder(job) / name


def without_manifest(job: Job, name: str) -> None:
    """As an earlier version of ncs has left it: shapes alone tell what is wrong."""
    if name != "manifest.json":
        (folder(job) / "manifest.json").unlink()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", READERS)
def test_a_document_in_any_state_is_named_with_what_is_wrong(job: Job, name: str, state: str) -> None:
    path = place(job, name)
    without_manifest(job, name)
    path.write_bytes(STATES[state](path.read_bytes()))
    with pytest.raises(NcsError) as err:
        READERS[name](job)
    (line,) = str(err.value).splitlines()
    assert str(path) in line
    assert "; " in line, "a remedy"


def variants(value: Any) -> Iterator[Any]:
    """A JSON value, each of its keys left out or of another type, to the second level."""

    def changed(part: Any, depth: int) -> Iterator[Any]:
        if isinstance(part, dict) and depth:
            for key in list(part)[:10]:
                yield {name: inner for name, inner in part.items() if name != key}
                for other in (None, -1, "x", [None], {}):
                    yield {**part, key: other}
                for inner in changed(part[key], depth - 1):
                    yield {**part, key: inner}

    yield from changed(value, 2)


@pytest.mark.parametrize("name", READERS)
def test_keys_that_are_missing_or_of_another_type_are_named(job: Job, name: str) -> None:
    path = place(job, name)
    without_manifest(job, name)
    content = path.read_text()
    lines = content.splitlines() if path.suffix == ".jsonl" else [content]
    errors: list[str] = []
    for variant in variants(json.loads(lines[0])):
        path.write_text("\n".join([json.dumps(variant), *lines[1:]]) + "\n")
        try:
            READERS[name](job)
        except NcsError as err:
            errors.append(str(err))
    assert len(errors) >= 5
    assert all(len(error.splitlines()) == 1 for error in errors)


def test_what_can_be_made_again_is_made_again(job: Job) -> None:
    verdict = Verdict(layout.SAMPLES, 1, "all", "x", False, [Finding("a", "b", "c", "d", ["2022-04-08"])])
    path = verdicts.uri(job.lake, layout.SAMPLES)
    for state in [
        *STATES.values(),
        *(lambda _, v=v: json.dumps(v).encode() for v in ({"table": 1}, {"findings": [1]})),
    ]:
        storage.write_json(path, asdict(verdict))
        assert verdicts.stored(job.lake, layout.SAMPLES) == verdict
        storage.write_bytes(path, state(storage.read_bytes(path)))
        assert verdicts.stored(job.lake, layout.SAMPLES) is None


def test_a_broken_run_is_no_reason_to_say_nothing_of_the_tables(job: Job) -> None:
    (folder(job) / "run.json").write_text("{")
    job.conf = CONF.with_keys({"logs.source": "nowhere"})
    (part,) = [part for part in status(job) if part.table == layout.PREDICTIONS]
    assert "run.json is not JSON" in part.stale[0]


def test_upkeep_keeps_away_from_versions_that_an_unreadable_run_may_need(job: Job) -> None:
    (folder(job) / "run.json").write_text('{"lineage": {}}')
    with pytest.raises(DataError, match=r"run\.json: run_id: Field required; .*restore it, or remove the folder"):
        upkeep.pinned_versions(job.lake)


def test_workers_name_an_order_that_is_broken(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text("{}")
    with pytest.raises(DataError, match=r"order\.json: conf: Field required"):
        work(str(tmp_path / "order.json"))


def edit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))


def swap_with_layer_share(path: Path) -> None:
    shutil.copy(path.parent.parent / "layer_share" / path.name, path)


@pytest.mark.parametrize(
    ("name", "how", "said"),
    [
        (f"{MODEL}/model.pt", swap_with_layer_share, "is not the file that training wrote: SHA-256"),
        (f"{MODEL}/model.pt", Path.unlink, "is missing"),
        (f"{MODEL}/masks.json", edit, "is not the file that training wrote"),
        (f"{MODEL}/conflict.json", Path.unlink, "is missing"),
        (f"{MODEL}/metrics.jsonl", edit, "is not the file that training wrote"),
        (f"{MODEL}/facts.json", edit, "is not the file that training wrote"),
        ("run.json", edit, "is not the file that training wrote"),
    ],
)
def test_a_file_that_is_swapped_edited_or_lost_is_named_and_trained_again(
    job: Job, name: str, how: Callable[[Path], None], said: str
) -> None:
    path = folder(job) / name
    how(path)
    with pytest.raises(DataError) as err:
        latest_run(job.lake)
    (line,) = str(err.value).splitlines()
    assert line.startswith(f"{path} {said}")
    assert "manifest.json of the run" in line
    if name != "run.json":  # which training itself writes again
        assert f"remove {path.parent} and run `ncs train`" in line
        if path.exists():
            with pytest.raises(DataError, match="is not the file that training wrote"):
                train.run(job)  # nor is it taken into the manifest by the next training
        shutil.rmtree(path.parent)
    train.run(job)
    assert latest_run(job.lake).models == CONF.train.models


def test_a_run_in_the_folder_of_another_is_refused(job: Job) -> None:
    storage.write_json(job.lake.uri("models", "latest.json"), {"run_id": "toy-0"})
    folder(job).rename(folder(job).parent / "toy-0")
    with pytest.raises(DataError, match=r"manifest\.json is of the run 'toy-\w+', the folder is that of toy-0"):
        latest_run(job.lake)
    Path(job.lake.uri("models", "toy-0", "manifest.json")).unlink()
    with pytest.raises(DataError, match=r"run\.json describes the run 'toy-\w+', its folder is that of toy-0"):
        latest_run(job.lake)


def test_a_run_from_before_there_were_manifests_is_read_with_a_warning(
    job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    (folder(job) / "manifest.json").unlink()
    assert latest_run(job.lake).models == CONF.train.models
    assert "manifest.json is missing: the run's files are not verified; `ncs train` writes it" in caplog.text
    # Weights of another net are noticed without it too.
    swap_with_layer_share(folder(job) / MODEL / "model.pt")
    with pytest.raises(TrainingError, match=r"model\.pt holds no weights of connection_share as run"):
        export.run(job)
    shutil.rmtree(folder(job) / MODEL)
    train.run(job)
    assert (folder(job) / "manifest.json").exists()


def test_a_manifest_says_sizes_and_shapes(job: Job) -> None:
    files = storage.read_json(str(folder(job) / "manifest.json"))["files"]
    found = files[f"{MODEL}/model.pt"]
    assert found["size"] == (folder(job) / MODEL / "model.pt").stat().st_size
    model = Store(str(folder(job) / MODEL), Cluster()).load("model")
    shapes = {f"net/{name}": list(weight.shape) for name, weight in model["net"].items()}
    assert found["shapes"].items() >= shapes.items()
    assert any(name.startswith("masks/cvr/") for name in found["shapes"])
    assert {name for name in files if name.startswith(MODEL)} == {
        f"{MODEL}/{name}"
        for name in (
            "model.pt",
            "validation-ctr.pt",
            "validation-cvr.pt",
            "facts.json",
            "masks.json",
            "conflict.json",
            "metrics.jsonl",
        )
    }
    assert Predictor.load(str(folder(job)), MODEL, CONF, latest_run(job.lake).sizes)
