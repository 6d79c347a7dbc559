"""Workers of a machine keep to cores of their own."""

import os

import pytest

from ncs.training.cluster.cores import bind


@pytest.mark.parametrize("names", [("HOROVOD_LOCAL_RANK", "HOROVOD_LOCAL_SIZE"), ("LOCAL_RANK", "LOCAL_WORLD_SIZE")])
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
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, str],
    cores: set[int],
    workers: int,
    expected: list[set[int] | None],
) -> None:
    kept: list[set[int] | None] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    for rank in range(workers):
        kept.append(None)
        monkeypatch.setattr(os, "sched_setaffinity", lambda _, own: kept.__setitem__(-1, set(own)))
        told = {names[0]: str(rank), names[1]: str(workers), "HOROVOD_RANK": "9"}
        assert bind(told) == max(1, len(cores) // workers)
    assert kept == expected
