"""The wheel on a standalone Spark cluster of a master and two workers, by plain spark-submit, far from the sources."""

import os
import re
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyspark
import pytest

from ncs.lake import layout
from ncs.lake.layout import Lake
from tests.factories import ROOT

SPARK = Path(pyspark.__file__).parent
SETTINGS = ["logs.days=2022-04-08..2022-04-09", "logs.impressions=3000", "logs.synthetic.users=150", "train.epochs=1"]
SETTINGS += ["logs.synthetic.videos=60", "train.models=[layer_share]", "train.threads=1", "split.validation=0.2"]


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Where the wheel is installed, alone."""
    uv, place = Path(sys.executable).parent / "uv", tmp_path / "installed"
    build = [uv, "build", "-q", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", tmp_path]
    subprocess.run([*build, ROOT], check=True)
    (file,) = tmp_path.glob("*.whl")
    subprocess.run([uv, "pip", "install", "-q", "--no-deps", "--target", place, file], check=True)
    return place


@pytest.fixture
def environment(wheel: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(wheel), "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}


@pytest.fixture
def master(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """A master with two workers of one core each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address, log = f"spark://127.0.0.1:{port}", tmp_path / "cluster.log"
    roles = [["master.Master", "--port", str(port)]]
    roles += [
        ["worker.Worker", "--cores", "1", "--memory", "1g", "--work-dir", str(tmp_path / f"{n}"), address] for n in "ab"
    ]
    with ExitStack() as stack, log.open("wb") as file:
        for role, *options in roles:
            command = [str(SPARK / "bin/spark-class"), f"org.apache.spark.deploy.{role}", "--host", "127.0.0.1"]
            daemon = subprocess.Popen(
                [*command, "--webui-port", "0", *options], env=environment, stdout=file, stderr=file
            )
            stack.callback(daemon.wait)
            stack.callback(daemon.kill)
        deadline = time.monotonic() + 120
        while len(re.findall("Successfully registered with master", log.read_text())) < 2:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield address


@pytest.mark.slow
def test_a_day_goes_through_all_stages_with_the_wheel(
    wheel: Path, environment: dict[str, str], master: str, tmp_path: Path
) -> None:
    # The root is a URI, so that whoever takes it for a path of its own is found out.
    lake, events = Lake.at(f"file://{tmp_path}/lake"), tmp_path / "events"
    events.mkdir()
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    submit = [str(SPARK / "bin/spark-submit"), "--master", master, "--conf", "spark.executor.memory=700m"]
    for setting in ("enabled=true", f"dir={events}", "rolling.enabled=false", "compress=false"):
        submit += ["--conf", f"spark.eventLog.{setting}"]
    done = subprocess.run(
        [*submit, str(wheel / "jobs/run.py"), "--conf", "demo.yaml", "--lake", lake.root, *settings],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, preexec_fn=lambda: os.umask(0),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "layer_share" in done.stdout
    assert set(lake.records("gold/ctr_samples")) == {"2022-04-08", "2022-04-09"}
    assert lake.has(layout.EVALUATIONS)
    (log,) = events.iterdir()
    added = re.findall(r'"Event":"SparkListenerExecutorAdded".*?"Executor ID":"(\d+)"', log.read_text())
    assert set(added) == {"0", "1"}, "both workers had their part"
    writable = [path for path in (tmp_path / "lake").rglob("*") if path.stat().st_mode & stat.S_IWOTH]
    assert not writable
