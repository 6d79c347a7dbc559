"""Petastorm on today's pyarrow: what it reads and how often it opens a file, and that nobody else notices."""

import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.lib
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from ncs.data_loading import Snapshot
from ncs.data_loading.legacy_arrow import ParquetFiles
from ncs.data_loading.reader import read_shard
from tests.factories import id_layout

FILES = ("memory://lake/a#1 ?%20.parquet", "memory://lake/b.parquet")
GROUPS = (40, 40, 20)
"""Rows of the row groups of each file."""


@pytest.fixture
def snapshot() -> Iterator[Snapshot]:
    """Two files of an object store, of a hundred rows each."""
    fs = fsspec.filesystem("memory")
    for number, file in enumerate(FILES):
        users = np.arange(100, dtype=np.int32) + 100 * number
        with fs.open(file, "wb") as stream:
            pq.write_table(pa.table({"user_id": users, "clicked": (users % 2).astype(np.float32)}), stream, 40)
    yield Snapshot("gold/ctr_samples", 0, FILES, GROUPS * 2, (0, 0, 0, 1, 1, 1))
    fs.rm("/lake", recursive=True)


def users(snapshot: Snapshot, shard: int, shards: int, seed: int | None) -> list[list[int]]:
    """The users of each row group."""
    groups = read_shard(snapshot, id_layout("user_id"), ["clicked"], shard, shards, seed)
    return [rows.ids[:, 0].tolist() for rows in groups]


def test_row_groups_of_an_object_store_are_read_in_order_or_shuffled(snapshot: Snapshot) -> None:
    expected = [list(range(first, min(first + 40, end))) for end in (100, 200) for first in range(end - 100, end, 40)]
    assert users(snapshot, 0, 1, None) == expected
    assert users(snapshot, 1, 4, None) == [expected[1], expected[5]], "row group i goes to worker i modulo 4"
    shuffled = users(snapshot, 0, 1, 3)
    assert shuffled != expected
    assert sorted(shuffled) == expected


def test_a_footer_is_read_once_for_all_row_groups_of_a_file(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(users(snapshot, 0, 1, None)) == 6, "which compares the checksums as well"
    opened: Counter[str] = Counter()
    open_file = MemoryFileSystem.open

    def count(self: MemoryFileSystem, path: str, *args: Any, **kwargs: Any) -> Any:
        opened[path] += 1
        return open_file(self, path, *args, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "open", count)
    assert len(users(snapshot, 0, 1, None)) == 6
    assert opened == dict.fromkeys(("/lake/a#1 ?%20.parquet", "/lake/b.parquet"), 1 + len(GROUPS))
    opened.clear()
    assert len(users(snapshot, 0, 6, None)) == 1
    assert opened == {"/lake/a#1 ?%20.parquet": 2, "/lake/b.parquet": 1}, "another shard's rows are not read"


def test_files_are_named_to_petastorm_without_their_paths() -> None:
    files = ParquetFiles(["/a?b/#.parquet", "s3://bucket/c.parquet"])
    assert files.urls == ["file:///0", "file:///1"]


def test_other_libraries_find_pyarrow_as_it_is() -> None:
    assert {"pyarrow.filesystem", "pyarrow.hdfs"}.isdisjoint(sys.modules)
    assert not hasattr(pyarrow.lib, "ArrowIOError")
    assert pq.ParquetDataset is pq.core.ParquetDataset
    assert not hasattr(pq, "ParquetDatasetPiece")
