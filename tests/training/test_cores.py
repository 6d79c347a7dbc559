"""Workers of a machine keep to cores of their own."""

import os

import pytest

from ncs.training.cluster import Cluster
from ncs.training.cores import bind


class _Worker(Cluster):
    def __init__(self, local_rank: int, local_size: int) -> None:
        self.local_rank, self.local_size = local_rank, local_size


@pytest.mark.parametrize(
    ("cores", "workers", "expected"),
    [
        ({0, 1}, 1, [{0, 1}]),
        ({0, 1}, 2, [{0}, {1}]),
        ({2, 3, 5, 7, 8}, 2, [{2, 3}, {5, 7}]),
        ({0, 1}, 3, [None, None, None]),
    ],
)
def test_each_has_an_equal_part_or_all_have_all(
    monkeypatch: pytest.MonkeyPatch, cores: set[int], workers: int, expected: list[set[int] | None]
) -> None:
    kept: list[set[int] | None] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    for rank in range(workers):
        kept.append(None)
        monkeypatch.setattr(os, "sched_setaffinity", lambda _, own: kept.__setitem__(-1, set(own)))
        assert bind(_Worker(rank, workers)) == max(1, len(cores) // workers)
    assert kept == expected
