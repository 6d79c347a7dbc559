"""The cores of a machine, shared out over its workers."""

import os

from ncs.training.cluster import Cluster


def bind(cluster: Cluster) -> int:
    """Keep this thread and those it starts to an equal part of the cores; how many that are, 1 if there are too few.

    Else the kernel wakes a worker that has waited for another on that one's core, and leaves both there for a while.
    """
    cores = sorted(os.sched_getaffinity(0))
    each = len(cores) // cluster.local_size
    if each:
        first = cluster.local_rank * each
        os.sched_setaffinity(0, cores[first : first + each])
    return max(1, each)
