"""Preparing what comes next while the present is worked on."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetched(items: Generator[T, None, None], ahead: int) -> Iterator[T]:
    """The same items in the same order; a thread makes up to `ahead` of them before they are asked for.

    An error in making one is raised where that item would have come. Whoever stops early closes `items` too.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="feed") as thread:
        try:
            waiting = deque(thread.submit(next, items, None) for _ in range(ahead))
            while (item := waiting.popleft().result()) is not None:
                waiting.append(thread.submit(next, items, None))
                yield item
        finally:
            thread.submit(items.close)
