"""The workers that train together: how they add up (`Cluster`), find each other (`connect`), are started (`launch`).

One file a backend: `horovod` and `distributed` (torch.distributed). One worker needs neither.
"""

import os
from collections.abc import Collection

from ncs.errors import NcsError
from ncs.lake import storage
from ncs.training.cluster import distributed, horovod
from ncs.training.cluster.base import Cluster, LostError
from ncs.training.cluster.launch import ERROR_FILE, environment, launch
from ncs.training.hardware import bind

__all__ = ["Cluster", "LostError", "connect", "environment", "launch", "launched", "report_failure"]


def connect(parts: Collection[int] = ()) -> Cluster:
    """The cluster that this process was launched in, or one of this process alone.

    `parts` are the numbers of parts that it may be asked for later (`Cluster.part`).
    """
    if not launched():
        return Cluster()
    cores = bind(os.environ)
    cluster = horovod.connect(parts) if "HOROVOD_RANK" in os.environ else distributed.connect()
    cluster.cores = cores
    return cluster


def launched() -> bool:
    """Whether a launcher started this process."""
    return "HOROVOD_RANK" in os.environ or "TORCHELASTIC_RUN_ID" in os.environ


def report_failure(err: Exception) -> None:
    """In a worker: leave the message for whoever launched it. That another is lost is for the launcher to find."""
    if (uri := os.environ.get(ERROR_FILE)) and not isinstance(err, LostError):
        text = str(err) if isinstance(err, NcsError) else f"{type(err).__name__}: {err} (unexpected)"
        storage.write_bytes(uri, text.encode())
