"""The exported model behind MLflow's own server on loopback: raw values in, the model's predictions out."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from jobs.job import Job
from jobs.pipeline import export
from ncs.lake import layout
from ncs.lake.layout import Lake
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from ncs.serving.raw import RawScorer
from tests.factories import RICH, VIDEOS, rich_columns, toy_conf, toy_rows, write_toy_lake
from tests.training.faults import trained

MODEL = "layer_share"
CONF = toy_conf(f"train.models={MODEL}", "train.epochs=1")


def exported(lake: Lake, *overrides: str) -> tuple[Run, Path]:
    """A run, and its MLflow model."""
    conf = toy_conf(f"train.models={MODEL}", "train.epochs=1", *overrides)
    run = trained(write_toy_lake(lake, conf, rows=300), conf)
    run.write_description()
    export.run(Job(conf, lake, conf.logs.days, quiet=True), run.run_id, MODEL)
    return run, Path(run.folder) / MODEL / "serving" / "mlflow"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, str]]:
    """A run, and the address of the server that has its model."""
    lake = Lake.at(str(tmp_path_factory.mktemp("lake")))
    whole, real = pa.array([1], pa.int64()), pa.array([9.0])
    write_deltalake(lake.uri(layout.SAMPLES), pa.table({"user_id": whole, "video_id": whole, "length_seconds": real}))
    run, folder = exported(lake)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--workers", "1"]
    # Elsewhere than in the sources: the package comes from the model's folder.
    server = subprocess.Popen(
        [*command, "--model-uri", str(folder), "--host", "127.0.0.1", "--port", str(port)],
        cwd=folder.parent, env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        _wait(server, f"http://127.0.0.1:{port}/ping")
        yield run, f"http://127.0.0.1:{port}/invocations"
    finally:
        if server.poll() is None:
            os.killpg(server.pid, 15)
        server.wait()


def _wait(server: subprocess.Popen[bytes], url: str) -> None:
    for _ in range(600):
        assert server.poll() is None, "the server has ended"
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server does not answer")


def ask(url: str, rows: list[dict[str, Any]]) -> tuple[int, Any]:
    body = json.dumps({"dataframe_records": rows}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)["predictions"]
    except HTTPError as err:
        return err.code, err.read().decode()


def encoded(run: Run, rows: int | None = None) -> tuple[list[dict[str, int]], dict[str, np.ndarray]]:
    """Raw rows of the test day, in the toy lake the ids themselves, and what the model predicts of them."""
    table = DeltaTable(run.lake.uri("gold/ctr_samples")).to_pyarrow_table().select(["user_id", "video_id"])[:rows]
    ids = np.stack([table[name].to_numpy() for name in run.conf.fields], 1)
    return table.to_pylist(), Predictor.load(run.folder, MODEL, run.conf, field_sizes(run)).predict(ids)


def column(answer: list[dict[str, float]], name: str) -> np.ndarray:
    return np.array([row[name] for row in answer])


@pytest.mark.slow
def test_the_server_answers_as_the_lake_predicts(served: tuple[Run, str]) -> None:
    run, url = served
    rows, expected = encoded(run)
    status, answer = ask(url, [{**row, "length_seconds": 20.0} for row in rows])
    assert status == 200
    assert column(answer, "pctr") == pytest.approx(expected["ctr"], abs=1e-6)
    assert column(answer, "pcvr") == pytest.approx(expected["cvr"], abs=1e-6)
    assert column(answer, "rankscore") == pytest.approx(expected["ctr"] * expected["cvr"] * 20, abs=1e-4)
    unknown = {"user_id": 10**15, "video_id": -4}
    (first, second) = ask(url, [unknown, rows[0]])[1]
    zeros = Predictor.load(run.folder, MODEL, run.conf, field_sizes(run)).predict(np.zeros((1, 2), np.int64))
    assert first["pctr"] == pytest.approx(zeros["ctr"][0], abs=1e-6)
    assert second["pctr"] == pytest.approx(expected["ctr"][0], abs=1e-6)
    assert second["rankscore"] == pytest.approx(second["pctr"] * second["pcvr"]), "without a length"


@pytest.mark.slow
def test_a_request_that_is_no_request_is_answered_with_4xx(served: tuple[Run, str]) -> None:
    _, url = served
    for rows, text in (
        ([{"user_id": 1}], "video_id"),
        ([{"user_id": "somebody", "video_id": 2}], "user_id"),
        ([{"user_id": [1], "video_id": 2}], "user_id"),
        ([{"user_id": None, "video_id": 2}], "user_id"),
    ):
        status, answer = ask(url, rows)
        assert 400 <= status < 500, (rows, status, answer)
        assert text in answer
    assert ask(url, [{"user_id": 1, "video_id": 2}])[0] == 200, "it goes on"


@pytest.mark.slow
def test_ten_thousand_candidates_in_one_request(served: tuple[Run, str]) -> None:
    run, url = served
    videos = np.arange(10_000) % (VIDEOS + 3)
    status, answer = ask(url, [{"user_id": 7, "video_id": int(video)} for video in videos])
    assert (status, len(answer)) == (200, 10_000)
    ids = np.stack([np.full(10_000, 7), np.where(videos > VIDEOS, 0, videos)], 1)
    expected = Predictor.load(run.folder, MODEL, run.conf, field_sizes(run)).predict(ids)
    assert column(answer, "pctr") == pytest.approx(expected["ctr"], abs=1e-6)


@pytest.mark.slow
def test_the_folder_scores_raw_values_of_all_kinds(lake: Lake) -> None:
    run, folder = exported(lake, *RICH)
    scorer = RawScorer.load(folder / "artifacts" / "model")
    ids, *_ = toy_rows(50, seed=3)
    columns = {"user_id": ids[:, 0], "video_id": ids[:, 1], **rich_columns(ids, 3)}
    raw = {name: columns[name] if columns[name].ndim == 1 else list(columns[name]) for name in run.conf.features}
    inputs = scorer.encoder.inputs(raw)
    expected = Predictor.load(run.folder, MODEL, run.conf, field_sizes(run)).predict(inputs.ids, inputs.numbers)
    found = scorer.predict(raw)
    assert found["pctr"] == pytest.approx(expected["ctr"], abs=1e-6)
    assert found["pcvr"] == pytest.approx(expected["cvr"], abs=1e-6)
    assert np.std(found["pctr"]) > 1e-4
    described = (folder / "MLmodel").read_text()
    assert all(name in described for name in (*run.conf.features, "pctr", "pcvr", "rankscore"))
    example = json.loads((folder / "input_example.json").read_text())
    assert example["columns"] == list(run.conf.features)
