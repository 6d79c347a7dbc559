"""Prefetching: a thread computes the next items while the current one is used."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def prefetched(items: Generator[T, None, None], ahead: int) -> Iterator[T]:
    """The same items in the same order; a thread computes up to `ahead` of them in advance.

    An error in computing an item is raised in its place. Closing the iterator early closes `items` too.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as thread:
        try:
            pending = deque(thread.submit(next, items, None) for _ in range(ahead))
            while (item := pending.popleft().result()) is not None:
                pending.append(thread.submit(next, items, None))
                yield item
        finally:
            thread.submit(items.close)
