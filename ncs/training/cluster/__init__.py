"""The workers that train together: their collectives (`Cluster`), how they `connect`, how a command launches them.

One file a backend: `horovod` and `distributed` (torch.distributed). One worker needs neither.
"""

import os
from collections.abc import Collection

from ncs.errors import NcsError
from ncs.lake import storage
from ncs.training.cluster import distributed, horovod
from ncs.training.cluster.base import Cluster, LostError
from ncs.training.cluster.launch import ERROR_FILE, end_with_parent, environment, launch
from ncs.training.hardware import bind_cores
from ncs.training.launched import launched

__all__ = ["Cluster", "LostError", "connect", "end_with_parent", "environment", "launch", "report_failure"]


def connect(subgroups: Collection[int] = ()) -> Cluster:
    """The cluster that this process was launched in, or one of this process alone.

    `subgroups` are the counts that `Cluster.subgroup` may be called with later.
    """
    if not launched():
        return Cluster()
    cores = bind_cores(os.environ)
    cluster = horovod.connect(subgroups) if "HOROVOD_RANK" in os.environ else distributed.connect()
    cluster.cores = cores
    return cluster


def report_failure(err: Exception) -> None:
    """In a worker: leave the message for its launcher, which finds out by itself that another worker is lost."""
    if (uri := os.environ.get(ERROR_FILE)) and not isinstance(err, LostError):
        text = str(err) if isinstance(err, NcsError) else f"{type(err).__name__}: {err} (unexpected)"
        storage.write_bytes(uri, text.encode())
