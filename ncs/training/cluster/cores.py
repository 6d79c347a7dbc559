"""The cores of a machine, shared out over its workers."""

import os
from collections.abc import Mapping


def bind(environ: Mapping[str, str]) -> int:
    """Keep this process to its part of the cores, by what its launcher has told it; how many these are, at least 1.

    Else the kernel wakes a worker that has waited for another on that one's core, and leaves both there for a while.
    To be called before a backend starts threads of its own. Where there are fewer cores than workers, all have all.
    """
    rank, size = (
        int(environ.get(f"HOROVOD_{horovod}", environ.get(torch, default)))
        for horovod, torch, default in (("LOCAL_RANK", "LOCAL_RANK", "0"), ("LOCAL_SIZE", "LOCAL_WORLD_SIZE", "1"))
    )
    cores = sorted(os.sched_getaffinity(0))
    each = len(cores) // size
    if each:
        os.sched_setaffinity(0, cores[rank * each : (rank + 1) * each])
    return max(1, each)
