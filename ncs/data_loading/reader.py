"""Reading a shard of a snapshot with Petastorm, a row group at a time."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from petastorm import make_batch_reader
from petastorm.unischema import Unischema

from ncs.data_loading.snapshot import Snapshot
from ncs.errors import DataError, TrainingError
from ncs.lake import storage


class _ByName(Unischema):
    """A schema whose row groups are mappings: Petastorm's named tuples allow no column `class`."""

    def make_namedtuple(self, /, **columns: np.ndarray) -> Mapping[str, np.ndarray]:
        return columns


class Rows(NamedTuple):
    """Decoded rows: `ids` int32 [rows, fields], `labels` float32 [rows, labels]."""

    ids: np.ndarray
    labels: np.ndarray

    def take(self, index: np.ndarray | slice) -> "Rows":
        """Some of the rows: views for a slice, copies for an array of indices."""
        if isinstance(index, slice):
            return Rows(self.ids[index], self.labels[index])
        return Rows(self.ids.take(index, axis=0), self.labels.take(index, axis=0))


def concatenate(groups: Sequence[Rows]) -> Rows:
    """The rows of all groups."""
    return Rows(np.concatenate([rows.ids for rows in groups]), np.concatenate([rows.labels for rows in groups]))


def read_shard(
    snapshot: Snapshot, fields: Sequence[str], labels: Sequence[str], shard: int, shards: int, seed: int | None
) -> Iterator[Rows]:
    """Yield each row group of a shard once, in file order or, with a seed, in a seeded one.

    Petastorm decodes ahead in a single thread: with several the order would be random. Raises DataError if a file is
    gone or broken, TrainingError if the number of rows is not that of the footers.
    """
    expected, count = snapshot.shard_rows(shards)[shard], 0
    urls = [_url(file) for file in snapshot.files]
    with _as_data_errors(snapshot), warnings.catch_warnings():
        snapshot.verify([*fields, *labels], shard, shards)
        warnings.simplefilter("ignore", FutureWarning)  # petastorm reads through pyarrow's older classes
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "Can not create dynamic property")  # of a column called like a method
        reader = make_batch_reader(
            urls,
            schema_fields=[f"^{re.escape(name)}$" for name in (*fields, *labels)],
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
                ids, values = (np.stack([group[n] for n in names], axis=1) for names in (fields, labels))
                rows = Rows(ids.astype(np.int32, copy=False), values.astype(np.float32, copy=False))
                count += len(rows.labels)
                yield rows
    if count != expected:
        raise TrainingError(
            f"{snapshot.table} version {snapshot.version}: shard {shard} of {shards} gave {count} rows, its files "
            f"promise {expected}; has somebody rewritten them? Train again on the version that is there"
        )


def _url(file: str) -> str:
    """A file's URL for Petastorm, which ends a path at `#` and `?`."""
    if "://" in file:
        return file
    folder, _, name = file.rpartition("/")
    return f"file://{storage.alias(folder)}/{name}"


@contextmanager
def _as_data_errors(snapshot: Snapshot) -> Iterator[None]:
    """Files can be removed while they are read: the pinned version names them, but nothing locks them."""
    try:
        yield
    except (OSError, pa.ArrowException) as err:
        raise DataError(
            f"{snapshot.table} version {snapshot.version}: a file went or broke while it was read ({err}); was the "
            "table vacuumed? Train again: on the same rows it goes on from the last epoch. Keep VACUUM's retention "
            "longer than a training"
        ) from None
