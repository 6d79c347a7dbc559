"""Threads: work that waits more than it computes, side by side; the end of a process that has threads of others."""

import atexit
import os
import sys
import threading
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn, TypeVar

S = TypeVar("S")
T = TypeVar("T")


def together(work: Callable[[S], T], items: Collection[S]) -> list[T]:
    """Results of `work` for the items, which run concurrently. An error is raised once all have ended."""
    with ThreadPoolExecutor(max(len(items), 1)) as pool:
        return list(pool.map(work, items))


def leave(code: int) -> NoReturn:
    """End the process with an exit code, without the interpreter's own finalization.

    Arrow's threads let go of buffers a little after a read has ended. While Python is finalized that aborts the
    process, exit code 134, though all is done (apache/arrow#49942): one in four commands that ended right after they
    had read. Threads of ours are waited for, what is registered with `atexit` is called, streams are flushed.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads it any more
            code = code or 1
    os._exit(code)
