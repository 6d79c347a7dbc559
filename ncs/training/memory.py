"""Memory as training uses it: what is freed is kept for the next step, large tensors lie in large pages."""

import ctypes
import os
import sys

# A step's rows lie anywhere in an embedding table: in pages of 4 KiB, finding each takes a walk through the page tables
# as well. torch asks the kernel for pages of 2 MiB where this is set at its first tensor, so it is set at the import.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt (malloc.h)."""
_LARGEST_MAPPED = 32 * 1024**2
"""The largest threshold that glibc accepts on 64 bits."""


def keep_freed_memory() -> None:
    """Have glibc keep the blocks of up to 32 MiB that are freed.

    By default it maps large blocks anew each time and trims its heap: a step's activations of some MiB each then cost
    thousands of page faults, a fifth of the step (docs/speed.md). Does nothing where the C library is another.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_MAPPED)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
