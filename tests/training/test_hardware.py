"""Freed memory stays with the process, tables lie in large pages, the workers of a machine keep to their own cores."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ncs.training.hardware import available_cores, bind_cores
from tests.factories import ROOT

STEPS = """
import resource
import numpy as np
from ncs.training.hardware import keep_freed_memory

def step():
    activations = [np.ones(2**20, dtype=np.float32) for _ in range(8)]

{call}
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
PAGES = 20 * 8 * 2**20 // 1024
"""That the steps write to, at 4 KiB a page."""


def faults(call: str) -> int:
    command = [sys.executable, "-c", STEPS.format(call=call)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_steps_after_the_first_take_no_new_pages() -> None:
    assert faults("keep_freed_memory()") < 0.05 * PAGES < faults("")


TABLE = """
import re
from pathlib import Path
import torch
import ncs.training.hardware

table = torch.zeros(2**21, 8)
found = re.search(r"AnonHugePages: *(\\d+) kB", Path("/proc/self/smaps_rollup").read_text())
print(1024 * int(found[1]) / table.nbytes)
"""
LARGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(
    not LARGE_PAGES.exists() or "[never]" in LARGE_PAGES.read_text(), reason="the kernel gives no large pages"
)
def test_a_table_lies_in_large_pages() -> None:
    command = [sys.executable, "-c", TABLE]
    share = float(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)
    assert share > 0.5


@pytest.mark.parametrize("names", [("HOROVOD_LOCAL_RANK", "HOROVOD_LOCAL_SIZE"), ("LOCAL_RANK", "LOCAL_WORLD_SIZE")])
@pytest.mark.parametrize(
    ("cores", "workers", "expected"),
    [
        ({0, 1}, 1, [{0, 1}]),
        ({0, 1}, 2, [{0}, {1}]),
        ({2, 3, 5, 7, 8}, 2, [{2, 3}, {5, 7}]),
        ({0, 1}, 3, [None, None, None]),
    ],
)
def test_each_has_an_equal_part_or_all_have_all(
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, str],
    cores: set[int],
    workers: int,
    expected: list[set[int] | None],
) -> None:
    kept: list[set[int] | None] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    for rank in range(workers):
        kept.append(None)
        monkeypatch.setattr(os, "sched_setaffinity", lambda _, own: kept.__setitem__(-1, set(own)))
        environ = {names[0]: str(rank), names[1]: str(workers), "HOROVOD_RANK": "9"}
        assert bind_cores(environ) == max(1, len(cores) // workers)
    assert kept == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 4),
        ({"cpu.max": "max 100000\n"}, 4),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "900000 100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
    ],
)
def test_a_container_has_the_cores_of_its_cpu_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_cores(tmp_path) == expected


@pytest.mark.parametrize(
    ("own", "expected"),
    [({}, "20000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_waits_are_bounded_unless_the_user_says_how(own: dict[str, str], expected: str) -> None:
    """Whatever imports a module of the package: the command, a launched worker, a Spark executor that scores."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    code = "import os, ncs.days; print(os.environ.get('GOMP_SPINCOUNT'))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=rest | own)
    assert done.stdout.split() == [expected]
