"""Random inputs: whatever they are, a command ends with a documented code and one line, and no table has changed.

After the input is corrected the same command passes. `make test-all` tries many more than `make test`.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tries
from hypothesis import strategies as st

from jobs.job import Job
from jobs.pipeline import report, train
from jobs.pipeline.runs import read_run
from ncs import config
from ncs.config.expressions import parse_expression
from ncs.errors import NcsError
from ncs.lake.layout import Lake
from ncs.runs.run import Run
from tests.factories import OVERRIDES, ROOT, toy_conf, write_toy_lake
from tests.faults import strategies
from tests.faults.outcomes import call, files

MODEL = "connection_share"
TRAINED = ["train.models=[connection_share]", "train.epochs=1", "prune.rounds=1"]
CONF = toy_conf(*TRAINED)


def few(examples: int) -> tries:
    """The settings of a small run: always the same cases."""
    return tries(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


def many(examples: int) -> tries:
    """The settings of a large run."""
    return tries(few(examples), derandomize=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with a finished run, made without Spark."""
    lake = Lake.at(str(tmp_path_factory.mktemp("fuzz") / "lake"))
    job = Job(CONF, write_toy_lake(lake, CONF, rows=300), CONF.logs.days, quiet=True)
    lake.bind(CONF)
    train.run(job)
    return lake


def toy_args(lake: Lake, *more: str) -> list[str]:
    """The arguments of a command on such a lake."""
    conf = ["--conf", str(ROOT / "conf" / "demo.yaml"), "--lake", lake.root]
    return [*conf, *(f"--set={setting}" for setting in (*OVERRIDES, *TRAINED, *more))]


def check_configuration(lake: Lake, path: Path, content: bytes, overrides: list[str]) -> None:
    """One configuration: read, or refused in one line; then a good one in its place."""
    before = files(lake.root)
    strategies.write(path, content)
    outcome = call("status", "--conf", str(path), "--lake", lake.root, *(f"--set={each}" for each in overrides))
    outcome.check("status")
    if outcome.code == 0:
        conf = config.load(path, overrides)
        again = config.from_run({"run_id": "x", "conf": conf.public()})
        assert again.digest("train", "prune", "tasks", "models") == conf.digest("train", "prune", "tasks", "models")
    assert files(lake.root) == before
    strategies.write(path, b"base: base.yaml\nname: fuzz\n")
    assert call("status", "--conf", str(path), "--lake", lake.root, "--set=logs.days=2022-04-08..2022-04-10").code == 0


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake that has no table yet."""
    root = tmp_path_factory.mktemp("empty")
    lake = Lake.at(str(root / "lake"))
    lake.bind(config.load("base.yaml", ["logs.days=2022-04-08..2022-04-10"]))
    return lake


@few(70)
@given(content=strategies.configuration_files())
def test_any_configuration_is_read_or_refused_in_one_line(empty: Lake, content: bytes) -> None:
    check_configuration(empty, Path(empty.root).parent / "conf.yaml", content, [])


@few(50)
@given(overrides=st.lists(strategies.overrides(), min_size=1, max_size=2))
def test_any_override_is_read_or_refused_in_one_line(empty: Lake, overrides: list[str]) -> None:
    check_configuration(empty, Path(empty.root).parent / "conf.yaml", b"base: base.yaml\nname: fuzz\n", overrides)


@pytest.mark.slow
@many(800)
@given(content=strategies.configuration_files(), overrides=st.lists(strategies.overrides(), max_size=2))
def test_many_configurations(empty: Lake, content: bytes, overrides: list[str]) -> None:
    check_configuration(empty, Path(empty.root).parent / "conf.yaml", content, overrides)


def check_expression(lake: Lake, key: str, text: str) -> None:
    """One expression: what passes is stable; what does not is refused with its key."""
    task = {"label": "cvr", "loss": "squared_error", "metric": "mse", key: text}
    outcome = call("status", *toy_args(lake, f"tasks.further={json.dumps(task)}"))
    outcome.check("status")
    assert outcome.code in (0, 2)
    if outcome.code == 0:
        found = parse_expression(text)
        assert parse_expression(found.sql) == found
    else:
        assert "tasks.further" in outcome.said or "fields." in outcome.said, outcome.said


@few(40)
@given(key=st.sampled_from(["label", "where"]), text=strategies.expressions | strategies.texts)
def test_any_expression_is_of_the_row_or_refused_in_one_line(empty_toy: Lake, key: str, text: str) -> None:
    check_expression(empty_toy, key, text)


@pytest.mark.slow
@many(500)
@given(key=st.sampled_from(["label", "where"]), text=strategies.expressions | strategies.texts)
def test_many_expressions(empty_toy: Lake, key: str, text: str) -> None:
    check_expression(empty_toy, key, text)


@pytest.fixture(scope="module")
def empty_toy(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake of the toy configuration that has no table yet."""
    lake = Lake.at(str(tmp_path_factory.mktemp("toy") / "lake"))
    lake.bind(CONF)
    return lake


READERS: dict[str, Callable[[Job], object]] = {
    f"{MODEL}/facts.json": lambda job: Run.of(CONF, job.lake).facts(MODEL),
    f"{MODEL}/metrics.jsonl": lambda job: report.trained(job.lake, Run.of(CONF, job.lake).run_id, {MODEL: MODEL}),
    f"{MODEL}/masks.json": lambda job: report.trained(job.lake, Run.of(CONF, job.lake).run_id, {MODEL: MODEL}),
    f"{MODEL}/conflict.json": lambda job: report.trained(job.lake, Run.of(CONF, job.lake).run_id, {MODEL: MODEL}),
    "run.json": lambda job: read_run(job.lake, Run.of(CONF, job.lake).run_id).configuration,
    "manifest.json": lambda job: read_run(job.lake, None),
}
"""A run's file -> what reads it back, beside the commands below."""
DOCUMENTS = ["lake.json", "models/latest.json", "validation/silver_samples.json", "erasures/a.json", *READERS]


def said_by(reader: Callable[[Job], object], lake: Lake) -> str:
    """What a reader says of what it cannot read; nothing if it can."""
    try:
        reader(Job(CONF, lake, CONF.logs.days, quiet=True))
    except NcsError as err:
        return str(err)
    return ""


def check_document(lake: Lake, name: str, draw: Callable[[st.SearchStrategy[bytes]], bytes], manifest: bool) -> None:
    """One stored document in another state: commands name it, or make it again; then as it was."""
    run = Path(lake.root, "models", Run.of(CONF, lake).run_id)
    path = run / name if name in READERS else Path(lake.root, name)
    listed = run / "manifest.json"
    kept = {each: each.read_bytes() for each in {path, listed}}
    path.write_bytes(draw(strategies.changed_json(kept[path])))
    if not manifest and name != "manifest.json":
        listed.unlink()  # as an earlier version has left it: shapes alone tell what is wrong
    before = files(Path(lake.root, "gold"))
    try:
        for stage in ("status", "maintain", "train"):
            outcome = call(stage, *toy_args(lake))
            outcome.check(stage)
            assert stage != "status" or outcome.code == 0 or name in ("lake.json", "erasures/a.json"), outcome.said
        if name in READERS:
            assert len(said_by(READERS[name], lake).splitlines()) <= 1
        assert files(Path(lake.root, "gold")) == before
    finally:
        for each, content in kept.items():
            each.write_bytes(content)
    for stage in ("status", "train"):
        assert call(stage, *toy_args(lake)).code == 0


@pytest.fixture(scope="module")
def documented(trained: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with a file of every kind of JSON."""
    lake = Lake.at(str(shutil.copytree(trained.root, tmp_path_factory.mktemp("documents") / "lake")))
    failed = [{"column": "a", "rule": "b", "found": "c", "expectation": "d", "days": [], "warns": False}]
    verdict = {"table": "silver/samples", "version": 1, "days": "all", "digest": "x", "success": False}
    verdict |= {"failed": failed, "statistics": {"evaluated_expectations": 1}}
    strategies.write(Path(lake.root, "validation/silver_samples.json"), json.dumps(verdict).encode())
    erased = {"erased": "2022-04-08", "users": ["00"], "models": []}
    strategies.write(Path(lake.root, "erasures/a.json"), json.dumps(erased).encode())
    return lake


@few(20)
@given(name=st.sampled_from(DOCUMENTS), manifest=st.booleans(), data=st.data())
def test_any_stored_json_is_named_or_made_again(
    documented: Lake, name: str, manifest: bool, data: st.DataObject
) -> None:
    check_document(documented, name, data.draw, manifest)


@pytest.mark.slow
@many(200)
@given(name=st.sampled_from(DOCUMENTS), manifest=st.booleans(), data=st.data())
def test_much_stored_json(documented: Lake, name: str, manifest: bool, data: st.DataObject) -> None:
    check_document(documented, name, data.draw, manifest)
