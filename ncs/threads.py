"""Work that waits more than it computes, side by side in threads: commits, small Spark jobs."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def together(work: Callable[[S], T], items: Collection[S]) -> list[T]:
    """What `work` gives for each item, all at once. An error is raised once all have ended."""
    with ThreadPoolExecutor(max(len(items), 1)) as pool:
        return list(pool.map(work, items))
