"""Ctrl-C in a terminal, a signal to the whole process group: while Java starts, and in the middle of Spark's work."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from jobs.interrupt import is_interrupt
from tests.factories import ROOT

PATIENCE = 240


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Starts `ncs run` on few rows, in a process group of its own."""
    small = ["--set", "logs.impressions=3000", "--set", "train.threads=1"]
    command = [sys.executable, "-m", "jobs.cli", "run", "--conf", str(ROOT / "conf" / "demo.yaml"), *small]
    processes: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        whole, said = [*command, "--lake", str(tmp_path / "lake")], subprocess.PIPE
        process = subprocess.Popen(whole, cwd=ROOT, stderr=said, text=True, start_new_session=True)
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def java_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    try:
        children = psutil.Process(process.pid).children(recursive=True)
        return [child for child in children if child.name() == "java"]
    except psutil.NoSuchProcess:
        return []


def interrupt(process: "subprocess.Popen[str]") -> str:
    """What it still says; it ends with 130 and leaves no Java behind."""
    java = java_of(process)
    assert java
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, said
    assert psutil.wait_procs(java, timeout=30)[1] == []
    return said


@pytest.mark.slow
def test_while_java_starts(started: Callable[[], "subprocess.Popen[str]"]) -> None:
    process, until = started(), time.monotonic() + PATIENCE
    while not java_of(process) and time.monotonic() < until:
        time.sleep(0.05)
    *_, last = interrupt(process).splitlines()
    assert last == "ncs: stopped; the same command goes on from here"


@pytest.mark.slow
def test_while_spark_works_nothing_of_py4j_is_shown(started: Callable[[], "subprocess.Popen[str]"]) -> None:
    process = started()
    assert process.stderr
    for line in process.stderr:
        if line.startswith("ingest: "):  # Spark is there, and goes on with the first check
            break
    time.sleep(1)
    said = [line for line in interrupt(process).splitlines() if not line.startswith("validate: ")]
    assert said == ["ncs: stopped; the same command goes on from here"]


def test_an_error_that_an_interrupt_has_caused_is_one() -> None:
    def fail() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise ValueError("Answer from Java side is empty") from None

    with pytest.raises(ValueError, match="Java") as raised:
        fail()
    assert is_interrupt(raised.value)
    assert not is_interrupt(ValueError("bad"))
    assert not is_interrupt(None)
