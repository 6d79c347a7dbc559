"""The end of a process: its exit code is its own, whatever Arrow's threads are about just then."""

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

READ = """
import sys
import pyarrow.parquet as pq
import torch
from ncs.threads import leave

with open(sys.argv[1], "rb") as file:
    pq.read_table(file)
leave(3)
"""
REGISTERED = """
import atexit, threading, time
from ncs.threads import leave

atexit.register(print, "registered")
threading.Thread(target=lambda: (time.sleep(0.3), print("waited for"))).start()
print("first")
leave(0)
"""


def run(script: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True)


def test_a_process_that_has_just_read_ends_with_its_own_exit_code(tmp_path: Path) -> None:
    """Half of such processes abort, code -6, where they end as Python does."""
    path = tmp_path / "wide.parquet"
    pq.write_table(pa.table({f"column_{n}": [str(n)] * 200 for n in range(50)}), path)
    for _ in range(5):
        ended = run(READ, str(path))
        assert (ended.returncode, ended.stderr) == (3, "")


def test_threads_are_waited_for_and_streams_flushed() -> None:
    ended = run(REGISTERED)
    assert (ended.returncode, ended.stdout.split()) == (0, ["first", "waited", "for", "registered"])
