"""Freed memory stays with the process: a second step of the same size costs no page faults."""

import subprocess
import sys

import pytest

from tests.toy import ROOT

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
