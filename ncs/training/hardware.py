"""The hardware of a worker: its device, the precision that it computes in, its cores, how its memory is kept."""

import ctypes
import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Literal

import torch

from ncs.errors import TrainingError

# A step's rows are scattered over an embedding table: in pages of 4 KiB, each access also walks the page tables.
# torch asks the kernel for pages of 2 MiB if this is set at its first tensor, so it is set at the import.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt (malloc.h)."""
_LARGEST_MAPPED = 32 * 1024**2
"""The largest threshold that glibc accepts on 64 bits."""


def select_device(wanted: Literal["auto", "cpu", "cuda"], local_rank: int) -> torch.device:
    """The device of this worker, by `train.device`: the workers of a machine take its GPUs in turn.

    Raises TrainingError if a GPU is wanted and there is none.
    """
    if wanted != "cpu" and torch.cuda.is_available():
        return torch.device("cuda", local_rank % torch.cuda.device_count())
    if wanted == "cuda":
        built = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        raise TrainingError(
            f"train.device is cuda, but torch {torch.__version__}, built {built}, finds no GPU on this machine; "
            "install the GPU's driver and a torch that is built for it, or set train.device to auto or cpu"
        )
    return torch.device("cpu")


def autocast_to(precision: Literal["float32", "bfloat16"], device: torch.device) -> AbstractContextManager[None]:
    """A context whose matrix products have the precision; weights, gradients and sensitive operations stay float32."""
    return nullcontext() if precision == "float32" else torch.autocast(device.type, torch.bfloat16)


def available_cores(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """The cores that this process may keep busy, at least 1: those it is bound to, or fewer by its cgroup's CPU limit.

    `cgroups` is where the container's control groups are mounted, version 2 or 1.
    """
    cores = len(os.sched_getaffinity(0))
    if (limit := cgroups / "cpu.max").exists():
        quota, period = limit.read_text().split()
    elif (limit := cgroups / "cpu" / "cpu.cfs_quota_us").exists():
        quota, period = limit.read_text().strip(), limit.with_name("cpu.cfs_period_us").read_text()
    else:
        return cores
    return cores if quota in ("max", "-1") else max(1, min(cores, int(quota) // int(period)))


def bind_cores(environ: Mapping[str, str]) -> int:
    """Bind this process to its share of the machine's cores, by its launcher's environment; their number, at least 1.

    Without it the kernel wakes a worker that has waited for another on that one's core, and leaves both there for a
    while. Call it before a backend starts threads of its own. With fewer cores than workers, nothing is bound.
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


def keep_freed_memory() -> None:
    """Have glibc keep the blocks of up to 32 MiB that are freed.

    By default it maps large blocks each time and trims its heap: a step's activations of some MiB each then cost
    thousands of page faults, a fifth of the step (docs/speed.md). Does nothing with another C library.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_MAPPED)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
