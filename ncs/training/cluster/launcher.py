"""What tells one launcher from another."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

STALL_SECONDS = "NCS_STALL_SECONDS"
"""The environment variable that tells a worker how long to wait for another."""


@dataclass(frozen=True)
class Launcher:
    """A program that starts a command once for each worker."""

    command: Callable[[Mapping[str, int], int, str | None], list[str]]
    """Host -> slots, the workers, the network interface -> its command line, to which the worker's is appended."""
    rank_0: str
    """What the lines that rank 0 says to standard error begin with."""
    first_to_fail: re.Pattern[str]
    """Where its output tells the rank of the first worker that failed, and its exit code."""
