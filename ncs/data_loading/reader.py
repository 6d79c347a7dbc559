"""Reading a shard of a snapshot with Petastorm, a row group at a time."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ncs.data_loading.legacy_arrow import ParquetFiles, Unischema, make_batch_reader
from ncs.data_loading.snapshot import Snapshot
from ncs.errors import DataError, TrainingError
from ncs.kinds import Layout
from ncs.kinds.arrays import stack


class _ByName(Unischema):
    """A schema whose row groups are mappings: Petastorm's named tuples allow no column `class`."""

    def make_namedtuple(self, /, **columns: np.ndarray) -> Mapping[str, np.ndarray]:
        return columns


class Rows(NamedTuple):
    """Decoded rows: `ids` int32 and `numbers` float32 in the columns of a layout, `labels` float32 [rows, labels]."""

    ids: np.ndarray
    numbers: np.ndarray
    labels: np.ndarray

    @classmethod
    def empty(cls, layout: Layout, labels: int) -> "Rows":
        """No rows."""
        return cls(*stack(layout, {name: np.empty(0) for name in layout.names}, 0), np.empty((0, labels), np.float32))

    def take(self, index: np.ndarray | slice) -> "Rows":
        """Some of the rows: views for a slice, copies for an array of indices."""
        if isinstance(index, slice):
            return Rows(*(values[index] for values in self))
        return Rows(*(values.take(index, axis=0) for values in self))


def concatenate(groups: Sequence[Rows]) -> Rows:
    """The rows of all groups."""
    return Rows(*map(np.concatenate, zip(*groups, strict=True)))


def read_shard(
    snapshot: Snapshot, layout: Layout, labels: Sequence[str], shard: int, shards: int, seed: int | None
) -> Iterator[Rows]:
    """Yield each row group of a shard once, in file order or, with a seed, in a seeded one.

    Columns of arrays come as matrices: the arrays of a column are all of the same length.

    Petastorm decodes ahead in a single thread: with several the order would be random. Raises DataError if a file is
    gone or broken, TrainingError if the number of rows is not that of the footers.
    """
    expected, count = snapshot.shard_rows(shards)[shard], 0
    names = [*layout.names, *labels]
    files = ParquetFiles(snapshot.files)
    with _as_data_errors(snapshot), warnings.catch_warnings():
        snapshot.verify(names, shard, shards)
        warnings.filterwarnings("ignore", "Can not create dynamic property")  # of a column called like a method
        reader = make_batch_reader(
            files.urls,
            filesystem=files,
            schema_fields=[f"^{re.escape(name)}$" for name in names],
            reader_pool_type="thread",
            workers_count=1,
            results_queue_size=4,
            shuffle_row_groups=seed is not None,
            seed=seed,
            num_epochs=1,
            cur_shard=shard,
            shard_count=shards,
        )
        reader.schema = _ByName("rows", list(reader.schema.fields.values()))
        with reader:
            for group in reader:
                values = np.stack([group[name] for name in labels], axis=1).astype(np.float32, copy=False)
                rows = Rows(*stack(layout, group, len(values)), values)
                count += len(values)
                yield rows
    if count != expected:
        raise TrainingError(
            f"{snapshot.table} version {snapshot.version}: shard {shard} of {shards} gave {count} rows, its files "
            f"promise {expected}; has somebody rewritten them? Train again on the version that is there"
        )


@contextmanager
def _as_data_errors(snapshot: Snapshot) -> Iterator[None]:
    """Files can be removed while they are read: the pinned version names them, but nothing locks them."""
    try:
        yield
    except RuntimeError as err:
        if "same length" not in str(err):  # of Petastorm, which stacks the arrays of a column
            raise
        column = str(err).partition("'")[2].partition("'")[0]
        raise DataError(
            f"{snapshot.table} version {snapshot.version}: the arrays of {column} are of different lengths, "
            "`ncs encode` writes them alike; another program has changed them, run `ncs encode` again"
        ) from None
    except (OSError, pa.ArrowException) as err:
        raise DataError(
            f"{snapshot.table} version {snapshot.version}: a file went or broke while it was read ({err}); was the "
            "table vacuumed? Train again: on the same rows it goes on from the last epoch. Keep VACUUM's retention "
            "longer than a training"
        ) from None
