"""Freed memory stays with the process, so that steps take no page faults; tables lie in large pages."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.factories import ROOT

STEPS = """
import resource
import numpy as np
from ncs.training.memory import keep_freed_memory

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
import ncs.training.memory

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
