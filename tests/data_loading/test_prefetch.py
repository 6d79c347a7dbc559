"""Prefetching keeps order, runs ahead by no more than it may, and ends what it was given."""

import threading
from collections.abc import Generator

from ncs.data_loading.loader import prefetched


def test_it_runs_ahead_in_a_thread_of_its_own_but_not_further_than_it_may() -> None:
    made: list[int] = []
    threads, third, closed = set(), threading.Event(), threading.Event()

    def numbers() -> Generator[int, None, None]:
        try:
            for n in range(1, 11):
                made.append(n)
                threads.add(threading.get_ident())
                if n == 4:
                    third.set()
                yield n
        finally:
            closed.set()

    items = prefetched(numbers(), ahead=3)
    assert next(items) == 1
    assert third.wait(10), "while nobody asks"
    assert [next(items) for _ in range(3)] == [2, 3, 4]
    items.close()  # type: ignore[attr-defined]
    assert closed.is_set()
    assert made == list(range(1, len(made) + 1))
    assert len(made) <= 4 + 3
    assert threads.isdisjoint({threading.get_ident()})


def test_nothing_is_left_out_at_the_end() -> None:
    assert list(prefetched((n for n in range(1, 6)), ahead=8)) == [1, 2, 3, 4, 5]
