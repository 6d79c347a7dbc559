"""Real workers that are killed or stop to answer: those that are left go on from the last epoch, or a resume does."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
import yaml

from ncs.config import Config
from ncs.lake import storage
from ncs.lake.layout import Lake
from ncs.metrics import auc
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from ncs.training.cluster import Cluster
from ncs.training.cluster.launch import most_workers, without
from ncs.training.store import Store
from tests.factories import toy_conf, toy_rows, write_toy_lake
from tests.training.faults import saved_state

EPOCHS = 25
LAUNCHERS = {
    "torch": ["launch.launcher=torch"],
    "horovodrun": ["launch.launcher=horovodrun"],
    "torch, sharded": ["launch.launcher=torch", "train.embeddings=sharded"],
    "horovodrun, sharded": ["launch.launcher=horovodrun", "train.embeddings=sharded"],
    "horovodrun over two hosts": ["launch.hosts=localhost:1,127.0.0.1:1", "launch.network=lo"],
}
GOES_ON = pytest.mark.fault(ends="goes on")


def test_a_lost_worker_takes_its_host_or_a_slot_with_it() -> None:
    assert without({"a": 4, "b": 4}, 5) == {"a": 4}
    assert without({"a": 4, "b": 4}, 3) == {"b": 4}
    assert without({"a": 4}, 2) == {"a": 3}
    assert without({"a": 4, "b": 1}, None) == {"a": 4}, "nobody knows who stalled: the last slot goes"
    assert without({"a": 1}, 0) == {}


def test_those_that_go_on_part_a_batch_evenly() -> None:
    assert [most_workers(left, 1024) for left in (8, 7, 3, 1, 0)] == [8, 4, 2, 1, 0]


def ended(worker: psutil.Process, patience: float = 60) -> bool:
    """Whether a process ends in time. A zombie has, if it is left to init, which may reap nobody in a container; under
    a launcher that is still there it shows that this one hangs."""

    def gone() -> bool:
        try:
            return worker.status() == psutil.STATUS_ZOMBIE and worker.ppid() == 1
        except psutil.NoSuchProcess:
            return True

    until = time.monotonic() + patience
    while not gone() and time.monotonic() < until:
        time.sleep(0.05)
    return gone()


class Training:
    """`ncs train` with two workers, in processes of its own."""

    def __init__(self, lake: Lake, conf: Config) -> None:
        self.conf, self.lake = conf, lake
        path = Path(lake.root) / "conf.yaml"
        path.write_text(yaml.safe_dump(conf.model_dump(), sort_keys=False))
        command = [sys.executable, "-m", "jobs.train", "--conf", str(path), "--lake", lake.root]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def until_epoch(self, number: int) -> None:
        """Wait for the checkpoint of an epoch, or a later one."""
        folder = Path(Run.of(self.conf, self.lake).model_folder("layer_share"))
        while self.process.poll() is None:
            if any(int(path.stem[-4:]) >= number for path in folder.glob("joint.checkpoint-????.pt")):
                return
            time.sleep(0.02)
        pytest.fail(f"ended before epoch {number}: {self.process.communicate()[1]}")

    def workers(self) -> dict[int, psutil.Process]:
        """The processes that train, by rank."""
        found = {}
        for child in psutil.Process(self.process.pid).children(recursive=True):
            variables = child.environ()
            rank = variables.get("HOROVOD_RANK", variables.get("RANK"))
            if rank is not None and child.cmdline()[1:3] == ["-m", "jobs.pipeline.worker"]:
                found[int(rank)] = child
        return found

    def end(self) -> tuple[int, str]:
        """Its exit code, and what it said."""
        said = self.process.communicate()[1]
        return self.process.returncode, said


@pytest.fixture
def settings() -> tuple[str, ...]:
    epochs = (f"train.epochs={EPOCHS}", f"train.patience={EPOCHS}")
    return ("workers=2", "train.models=layer_share", "logs.source=nowhere", "launch.stall_seconds=15", *epochs)


def is_right(run: Run) -> bool:
    """Whether each epoch was kept once, with two workers first and one later, and the model has learnt."""
    epochs = Store(run.model_folder("layer_share"), Cluster()).logged()
    workers = [epoch.workers for epoch in epochs]
    ids, clicked, _ = toy_rows(4000, seed=99)
    predictor = Predictor.load(run.folder, "layer_share", run.conf, field_sizes(run))
    return (
        [epoch.epoch for epoch in epochs] == list(range(1, EPOCHS + 1))
        and workers == sorted(workers, reverse=True)
        and auc(clicked, predictor.predict(ids)["ctr"]) > 0.6
    )


@GOES_ON
@pytest.mark.slow
@pytest.mark.parametrize(
    ("launcher", "rank", "fault"),
    [
        ("torch", 1, signal.SIGKILL),
        ("torch", 0, signal.SIGKILL),
        ("torch", 1, signal.SIGSTOP),
        ("horovodrun", 1, signal.SIGKILL),
        ("horovodrun", 0, signal.SIGKILL),
        ("horovodrun", 1, signal.SIGSTOP),
        ("horovodrun over two hosts", 0, signal.SIGKILL),
        ("torch, sharded", 0, signal.SIGKILL),
        ("horovodrun, sharded", 1, signal.SIGKILL),
    ],
)
def test_training_goes_on_without_a_worker_that_is_lost(
    lake: Lake, settings: tuple[str, ...], launcher: str, rank: int, fault: signal.Signals
) -> None:
    conf = toy_conf(*settings, *LAUNCHERS[launcher])
    training = Training(write_toy_lake(lake, conf), conf)
    training.until_epoch(2)
    workers = training.workers()
    workers[rank].send_signal(fault)
    code, said = training.end()
    assert code == 0, said
    assert "a worker of 2 was lost or stalled; going on with 1 from the last epoch" in said
    assert Path(said.partition("the output of the workers before is in ")[2].split()[0]).stat().st_size
    run = Run.of(conf, lake)
    assert run.facts("layer_share").workers == [1, 2], "the run says that it lost one"
    assert is_right(run)
    assert not any(worker.is_running() for worker in workers.values())
    assert not list(Path(lake.root).glob("_launch*"))


@pytest.mark.fault(ends="clear error")
@pytest.mark.slow
def test_without_restarts_a_lost_worker_is_one_clear_line(lake: Lake, settings: tuple[str, ...]) -> None:
    conf = toy_conf(*settings, "launch.launcher=torch", "launch.restarts=0")
    training = Training(write_toy_lake(lake, conf), conf)
    training.until_epoch(1)
    training.workers()[1].kill()
    code, said = training.end()
    assert code == 1
    assert "a worker of 2 was lost or stalled" in said.strip().splitlines()[-1]
    assert "the same command goes on from the last epoch" in said
    assert not storage.exists(storage.join(Run.of(conf, lake).model_folder("layer_share"), "model.pt"))


@GOES_ON
@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torch", "horovodrun", "horovodrun, sharded"])
def test_the_workers_end_with_their_launcher_and_the_same_command_goes_on(
    lake: Lake, settings: tuple[str, ...], launcher: str, tmp_path: Path
) -> None:
    """To the same bits as two workers that nobody disturbed."""
    conf = toy_conf(*settings, *LAUNCHERS[launcher])
    other = Lake.at(str(tmp_path / "two"))
    assert Training(write_toy_lake(other, conf), conf).end()[0] == 0
    training = Training(write_toy_lake(lake, conf), conf)
    training.until_epoch(2)
    workers = training.workers()
    assert sorted(workers) == [0, 1]
    os.kill(training.process.pid, signal.SIGKILL)
    assert all(ended(worker) for worker in workers.values())
    code, said = Training(lake, conf).end()
    assert code == 0, said
    two, again = (saved_state(Run.of(conf, where), "layer_share")["net"] for where in (other, lake))
    assert all(torch.equal(weight, again[name]) for name, weight in two.items())
