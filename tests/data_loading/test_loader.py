"""The loader on real Delta tables through Petastorm: every row once an epoch, equal steps, nothing that was removed."""

import math
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from ncs.data_loading import Snapshot, TableLoader
from ncs.data_loading.reader import Rows
from ncs.days import Days
from ncs.errors import DataError, TrainingError
from ncs.kinds import IdSlot, Layout, NumberSlot
from ncs.lake.layout import Lake
from tests.factories import id_layout

TABLE = "gold/ctr_samples"
DAYS = Days(date(2022, 4, 8), date(2022, 4, 9))


def rows(first: int, count: int, day: str = "2022-04-08", split: str = "train") -> pa.Table:
    ids = np.arange(first, first + count, dtype=np.int32)
    return pa.table(
        {
            "impression_id": [str(n) for n in ids],
            "day": pa.array([date.fromisoformat(day)] * count, pa.date32()),
            "split": [split] * count,
            "user_id": ids,
            "video_id": -ids,
            "clicked": (ids % 2).astype(np.float32),
        }
    )


def write(lake: Lake, table: pa.Table, mode: str = "append") -> None:
    write_deltalake(lake.uri(TABLE), table, partition_by=["day", "split"], mode=mode)


@pytest.fixture
def table(lake: Lake) -> Lake:
    """Two days in eleven files of unequal rows, a validation split beside."""
    for n in range(10):
        write(lake, rows(100 * n, 30 + n))
    write(lake, rows(5000, 20, day="2022-04-09"))
    write(lake, rows(9000, 40, split="validation"))
    return lake


def test_any_name_is_a_field(lake: Lake) -> None:
    names = ["class", "_device", "self", "_fields", "fields", "None"]
    plain = rows(0, 40)
    columns = {name: pa.array(np.arange(40, dtype=np.int32) + n) for n, name in enumerate(names)}
    write_deltalake(
        lake.uri(TABLE),
        pa.table({**{name: plain[name] for name in plain.column_names}, **columns, "from": plain["clicked"]}),
        partition_by=["day", "split"],
    )
    snapshot = Snapshot.of(lake, TABLE, 0, Days(DAYS.first, DAYS.first), "train")
    (batch,) = TableLoader(snapshot, id_layout(*names), {"ctr": "from"}, batch_size=40, shuffle=False).epoch(0)
    assert batch.features.ids.tolist() == [[row + n for n in range(len(names))] for row in range(40)]
    assert batch.labels["ctr"].tolist() == plain["clicked"].to_pylist()


def loader(snapshot: Snapshot, **settings: int | bool) -> TableLoader:
    return TableLoader(snapshot, id_layout("user_id", "video_id"), {"ctr": "clicked"}, **{"batch_size": 16, **settings})  # type: ignore[arg-type]


def users(loader: TableLoader, epoch: int = 0) -> list[int]:
    return [int(user) for batch in loader.epoch(epoch) for user in batch.features.ids[:, 0]]


EXPECTED = sorted([100 * n + k for n in range(10) for k in range(30 + n)] + list(range(5000, 5020)))


@pytest.mark.parametrize("memory_rows", [10_000, 0], ids=["in memory", "streamed"])
@pytest.mark.parametrize("shards", [1, 3])
def test_an_epoch_is_every_row_once_in_equal_steps(table: Lake, memory_rows: int, shards: int) -> None:
    snapshot = Snapshot.of(table, TABLE, table.version(TABLE), DAYS, "train")
    loaders = [
        loader(snapshot, batch_size=48, shard=n, shards=shards, memory_rows=memory_rows, buffer_rows=64)
        for n in range(shards)
    ]
    assert len({one.steps for one in loaders}) == 1
    for epoch in range(2):
        batches = [list(one.epoch(epoch)) for one in loaders]
        assert [len(one) for one in batches] == [loaders[0].steps] * shards
        assert sorted(int(user) for one in batches for batch in one for user in batch.features.ids[:, 0]) == EXPECTED
        for parts in zip(*batches, strict=True):
            assert {part.total for part in parts} == {sum(part.features.rows for part in parts)}
            assert all(part.features.rows <= 48 // shards for part in parts)
        for batch in batches[0][:-1]:
            assert batch.features.rows == 48 // shards, "exact, whatever the row groups"


def test_labels_stay_with_their_rows(table: Lake) -> None:
    snapshot = Snapshot.of(table, TABLE, table.version(TABLE), DAYS, "train")
    for batch in loader(snapshot).epoch(0):
        assert batch.features.ids.dtype.is_floating_point is False
        assert (batch.labels["ctr"] == batch.features.ids[:, 0] % 2).all()
        assert (batch.features.ids[:, 1] == -batch.features.ids[:, 0]).all()


@pytest.mark.parametrize("memory_rows", [10_000, 0], ids=["in memory", "streamed"])
def test_order_follows_seed_and_epoch_alone(table: Lake, memory_rows: int) -> None:
    snapshot = Snapshot.of(table, TABLE, table.version(TABLE), DAYS, "train")
    one, same, other = (loader(snapshot, seed=seed, memory_rows=memory_rows, buffer_rows=64) for seed in (1, 1, 2))
    assert users(one, 3) == users(same, 3)
    assert users(one, 3) != users(one, 4)
    assert users(one, 3) != users(other, 3)
    assert users(one, 3) != EXPECTED


def test_the_validation_split_is_apart(table: Lake) -> None:
    snapshot = Snapshot.of(table, TABLE, table.version(TABLE), Days(DAYS.first, DAYS.first), "validation")
    assert users(loader(snapshot, shuffle=False)) == list(range(9000, 9040))


def test_a_pinned_version_reads_what_it_held_whatever_came_after(table: Lake) -> None:
    version = table.version(TABLE)
    write(table, rows(0, 5), mode="overwrite")
    assert sorted(users(loader(Snapshot.of(table, TABLE, version, DAYS, "train")))) == EXPECTED
    now = Snapshot.of(table, TABLE, table.version(TABLE), Days(DAYS.first, DAYS.first), "train")
    assert sorted(users(loader(now))) == list(range(5)), "the folder still holds the removed files"


def test_a_shard_counts_row_groups_not_files(lake: Lake) -> None:
    write(lake, rows(0, 90))
    uri = DeltaTable(lake.uri(TABLE)).file_uris()[0]
    pq.write_table(pq.ParquetFile(uri).read(), uri, row_group_size=25)
    snapshot = Snapshot.of(lake, TABLE, 0, Days(DAYS.first, DAYS.first), "train")
    assert snapshot.row_groups == (25, 25, 25, 15)
    assert snapshot.shard_rows(3) == [40, 25, 25]
    found = Counter(user for n in range(3) for user in users(loader(snapshot, batch_size=15, shard=n, shards=3)))
    assert found == Counter(range(90))


def test_files_of_chance_names_are_read_in_the_order_of_their_rows(table: Lake) -> None:
    snapshot = Snapshot.of(table, TABLE, table.version(TABLE), Days(DAYS.first, DAYS.first), "train")
    first = [int(pq.ParquetFile(file).read(["user_id"])["user_id"][0].as_py()) for file in snapshot.files]
    assert first == sorted(first)


def test_more_workers_than_row_groups(table: Lake) -> None:
    snapshot = Snapshot.of(table, TABLE, table.version(TABLE), DAYS, "train")
    with pytest.raises(TrainingError, match=r"gold/ctr_samples has 11 row groups for 12 workers.*rows_per_file"):
        loader(snapshot, batch_size=24, shards=12)


def test_a_batch_that_cannot_be_parted(table: Lake) -> None:
    snapshot = Snapshot.of(table, TABLE, table.version(TABLE), DAYS, "train")
    with pytest.raises(TrainingError, match=r"batch_size 16 cannot be split evenly over 3 workers"):
        loader(snapshot, shards=3)


def test_a_version_that_is_gone(table: Lake) -> None:
    with pytest.raises(DataError, match=r"version 99 of gold/ctr_samples is gone"):
        Snapshot.of(table, TABLE, 99, DAYS, "train")


def test_a_vacuumed_file_is_named(table: Lake) -> None:
    version = table.version(TABLE)
    write(table, rows(0, 5), mode="overwrite")
    DeltaTable(table.uri(TABLE)).vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(DataError, match=r"parquet of gold/ctr_samples is gone \(vacuumed\?\)"):
        Snapshot.of(table, TABLE, version, DAYS, "train")


def test_a_truncated_file_is_named(table: Lake) -> None:
    path = Path(Snapshot.of(table, TABLE, table.version(TABLE), DAYS, "train").files[0])
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"is damaged \(no whole Parquet file: .*; restore the file from a copy"):
        Snapshot.of(table, TABLE, table.version(TABLE), DAYS, "train")


def test_a_day_that_is_missing(table: Lake) -> None:
    with pytest.raises(DataError, match=r"lacks 2022-04-10; run `ncs encode`"):
        Snapshot.of(table, TABLE, table.version(TABLE), DAYS.widened(after=1), "train")


def test_streaming_holds_as_much_of_a_table_ten_times_its_buffer_as_of_one_of_twice(lake: Lake) -> None:
    for day, count in zip(DAYS, (20_000, 80_000), strict=True):
        write(lake, rows(0, count, day=str(day)))
    for uri in DeltaTable(lake.uri(TABLE)).file_uris():
        pq.write_table(pq.ParquetFile(uri).read(), uri, row_group_size=2000)

    def peak(days: Days, **settings: int) -> int:
        """The most bytes that an epoch takes at a time."""
        snapshot = Snapshot.of(lake, TABLE, 1, days, "train")
        tracemalloc.start()
        seen = sum(batch.features.rows for batch in loader(snapshot, batch_size=100, **settings).epoch(0))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seen == snapshot.rows
        return most

    twice, ten_times = (peak(days, memory_rows=0, buffer_rows=10_000) for days in (Days(DAYS.first, DAYS.first), DAYS))
    assert ten_times < 1.2 * twice
    assert ten_times < 0.6 * peak(DAYS, memory_rows=100_000)


def test_a_broken_row_group_is_heard_of_where_the_training_waits(table: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Iterator[Rows]:
        yield Rows(np.zeros((16, 2), np.int32), np.zeros((16, 0), np.float32), np.zeros((16, 1), np.float32))
        raise TrainingError("a row group is broken")

    monkeypatch.setattr("ncs.data_loading.loader.read_shard", broken)
    snapshot = Snapshot.of(table, TABLE, table.version(TABLE), DAYS, "train")
    with pytest.raises(TrainingError, match="a row group is broken"):
        users(loader(snapshot, memory_rows=0, buffer_rows=1))


LISTS = Layout.of(
    [
        IdSlot("user_id", "user_id"),
        NumberSlot("age", nullable=True),
        IdSlot("tags", "tags", 3, "mean"),
        NumberSlot("cover", 2, projected=True),
    ]
)


def with_lists(count: int, length: int = 3) -> pa.Table:
    """Rows whose arrays and numbers follow from the user."""
    plain = rows(0, count)
    users = plain["user_id"].to_pylist()
    tags = [[user, 7, -1][:length] for user in users]
    age = [math.nan if user % 3 == 0 else user / 2 for user in users]
    cover = [[user, -user] for user in users]
    columns = {
        "tags": pa.array(tags, pa.list_(pa.int32())),
        "age": pa.array(age, pa.float32()),
        "cover": pa.array(cover, pa.list_(pa.float32())),
    }
    return pa.table({**{name: plain[name] for name in plain.column_names}, **columns})


def of_lists(lake: Lake, **settings: int | bool) -> TableLoader:
    snapshot = Snapshot.of(lake, TABLE, lake.version(TABLE), Days(DAYS.first, DAYS.first), "train")
    return TableLoader(snapshot, LISTS, {"ctr": "clicked"}, **{"batch_size": 16, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize("memory_rows", [10_000, 0], ids=["in memory", "streamed"])
def test_arrays_and_numbers_stay_with_their_rows(lake: Lake, memory_rows: int) -> None:
    write(lake, with_lists(50))
    found = list(of_lists(lake, memory_rows=memory_rows, buffer_rows=20).epoch(1))
    ids = np.concatenate([batch.features.ids.numpy() for batch in found])
    numbers = np.concatenate([batch.features.numbers.numpy() for batch in found])
    users = ids[:, 0]
    assert sorted(users) == list(range(50))
    assert list(users) != list(range(50))
    assert ids.dtype == np.int64
    assert (ids[:, 1:] == np.stack([users, 0 * users + 7, 0 * users - 1], 1)).all()
    assert numbers.dtype == np.float32
    np.testing.assert_array_equal(numbers[:, 0], np.where(users % 3 == 0, np.nan, users / 2))
    assert (numbers[:, 1:] == np.stack([users, -users], 1)).all()


def test_a_worker_without_rows_has_empty_batches_of_the_layout(lake: Lake) -> None:
    write(lake, with_lists(40))
    write(lake, with_lists(3))
    shards = [list(of_lists(lake, shard=n, shards=2).epoch(0)) for n in range(2)]
    assert len({len(batches) for batches in shards}) == 1
    empty = [batch.features for batches in shards for batch in batches if not batch.features.rows]
    assert empty
    assert {(tuple(one.ids.shape), tuple(one.numbers.shape)) for one in empty} == {((0, 4), (0, 3))}


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([2], r"tags: arrays of 2 elements, 3 expected; .*run `ncs encode`"),
        ([3, 2], r"the arrays of tags are of different lengths, .*run `ncs encode` again"),
    ],
)
def test_arrays_of_another_length_are_named(lake: Lake, tables: list[int], message: str) -> None:
    write(lake, pa.concat_tables([with_lists(20, length) for length in tables]))
    with pytest.raises(DataError, match=message):
        list(of_lists(lake).epoch(0))


def test_wide_rows_count_for_more_of_the_memory(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """How often a table is read in two epochs: once where it stays in memory."""
    write(lake, rows(0, 100))
    snapshot = Snapshot.of(lake, TABLE, 0, Days(DAYS.first, DAYS.first), "train")
    reads = []
    for length in (1, 64):
        columns = Layout.of([IdSlot("user_id", "user_id", length, "mean")])
        loader = TableLoader(snapshot, columns, {"ctr": "clicked"}, batch_size=50, memory_rows=150)
        empty = Rows(np.zeros((100, length), np.int32), np.zeros((100, 0), np.float32), np.zeros((100, 1), np.float32))
        calls: list[object] = []

        def read(*_: object, calls: list[object] = calls, rows: Rows = empty) -> Iterator[Rows]:
            calls.append(rows)
            yield rows

        monkeypatch.setattr("ncs.data_loading.loader.read_shard", read)
        for epoch in range(2):
            assert sum(batch.features.rows for batch in loader.epoch(epoch)) == 100
        reads.append(len(calls))
    assert reads == [1, 2]
