"""Requests to an exported model behind MLflow's server, from a process of its own, beside onnxruntime alone.

    .venv/bin/python -m bench.served --lake lake/demo                  # the newest run's connection_share, exported
    .venv/bin/python -m bench.served --folder PATH/serving/mlflow      # any MLflow model that `ncs export` wrote

A request has 100 candidates of one user. One client asks again as soon as it has an answer; times are wall-clock.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jobs.pipeline.runs import latest_run
from ncs.lake.layout import Lake
from ncs.serving.raw import RawScorer
from ncs.text import markdown

MODEL = "connection_share"


def main() -> None:
    """Start the server, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", default="lake/demo")
    parser.add_argument("--folder", type=Path, help="of the MLflow model, in the place of the newest run's")
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--requests", type=int, default=300)
    asked = parser.parse_args()
    folder = asked.folder or exported(asked.lake)
    rows = candidates(folder, asked.candidates)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    scorer = RawScorer.load(folder / "artifacts" / "model")
    inputs = scorer.encoder.inputs(columns)
    named = {"ids": inputs.ids.astype(np.int64)} | ({"numbers": inputs.numbers} if inputs.numbers.shape[1] else {})
    found = {"onnxruntime alone, encoded rows": timed(lambda: run(scorer, named), asked.requests)}
    found["the same with the encoder, raw values"] = timed(lambda: scorer.predict(columns), asked.requests)
    server, url = start(folder)
    try:
        body = json.dumps({"dataframe_records": rows}).encode()
        found["MLflow's server, JSON on loopback"] = timed(lambda: ask(url, body), asked.requests)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    print(table(found, asked.candidates))


def exported(lake: str) -> Path:
    """The MLflow model of the newest run."""
    at = Lake.at(lake)
    return Path(at.uri("models", latest_run(at).run_id, MODEL, "serving", "mlflow"))


def candidates(folder: Path, count: int) -> list[dict[str, Any]]:
    """The model's example so many times, another video in each row."""
    example = json.loads((folder / "input_example.json").read_text())
    row = dict(zip(example["columns"], example["data"][0], strict=True))
    return [row | {"video_id": type(row["video_id"])(n)} if "video_id" in row else row for n in range(count)]


def run(scorer: RawScorer, named: dict[str, Any]) -> None:
    """All programs on encoded rows."""
    for program in scorer.programs.values():
        program(named)


def start(folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """MLflow's server with one worker; returns it and the address of its model when it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local", "--workers", "1"]
    paths = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    server = subprocess.Popen(
        [*command, "--model-uri", str(folder.absolute()), "--host", "127.0.0.1", "--port", str(port)],
        cwd=folder, env=os.environ | {"PATH": paths, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    for _ in range(900):
        if server.poll() is not None:
            sys.exit("the server has ended")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                return server, f"http://127.0.0.1:{port}/invocations"
        except OSError:
            time.sleep(0.2)
    sys.exit("the server does not answer")


def ask(url: str, body: bytes) -> None:
    """One request; an answer that is no 200 is an error."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def timed(call: Callable[[], object], calls: int) -> np.ndarray:
    """Milliseconds of each call, after some that warm up."""
    found = []
    for n in range(-20, calls):
        started = time.perf_counter()
        call()
        if n >= 0:
            found.append(1000 * (time.perf_counter() - started))
    return np.array(found)


def table(found: dict[str, np.ndarray], count: int) -> str:
    """A line each: requests a second, and how long they take."""
    lines = [[f"{count} candidates", "requests a second", "p50 ms", "p99 ms"]]
    for name, values in found.items():
        p50, p99 = np.percentile(values, [50, 99])
        lines.append([name, f"{1000 / values.mean():.0f}", f"{p50:.2f}", f"{p99:.2f}"])
    return markdown(lines)


if __name__ == "__main__":
    main()
