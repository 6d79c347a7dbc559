"""Batches of one task for one worker: an epoch has every row of the shard once, in as many steps on each worker."""

from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from typing import Protocol, TypeVar

import numpy as np
import torch

from ncs.data_loading.batch import Batch, Features
from ncs.data_loading.reader import Rows, concatenate, read_shard
from ncs.data_loading.snapshot import Snapshot
from ncs.errors import TrainingError
from ncs.kinds import Layout

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


AHEAD = 8
"""Batches that are prefetched, so that the shuffle buffer can be refilled meanwhile."""
COLUMNS = 32
"""The columns of a row as `data_loading.memory_rows` counts it: lists and vectors are many columns of 4 bytes each."""


class Loader(Protocol):
    """Batches of a task for the training loop."""

    @property
    def steps(self) -> int:
        """Batches of an epoch, the same on every worker."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch, numbered from 0."""

    def resharded(self, shard: int, shards: int) -> "Loader":
        """The same rows in global batches of the same size, sharded over other workers."""


class TableLoader:
    """A shard of a Delta table, read through Petastorm.

    A shard of at most `memory_rows` is decoded once and stays in memory over all epochs and pruning rounds; a
    larger one streams through a shuffle buffer each epoch. Rows of more than 32 columns count for more than one.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        layout: Layout,
        labels: Mapping[str, str],
        *,
        batch_size: int,
        shard: int = 0,
        shards: int = 1,
        seed: int = 0,
        shuffle: bool = True,
        memory_rows: int = 20_000_000,
        buffer_rows: int = 200_000,
        device: str | torch.device = "cpu",
    ) -> None:
        """`layout` says which columns are read, and their order in a batch; `labels` are the label columns by task;
        `batch_size` is the global one, of which each worker has a slice.

        Batches are on `device`.
        """
        self._snapshot, self._layout, self._labels = snapshot, layout, dict(labels)
        self._batch_size, self._seed, self._shuffle = batch_size, seed, shuffle
        self._memory_rows, self._buffer_rows = memory_rows, buffer_rows
        self._device = torch.device(device)
        self._distribute(shard, shards)

    def _distribute(self, shard: int, shards: int) -> None:
        if self._batch_size % shards:
            raise TrainingError(f"train.batch_size {self._batch_size} cannot be split evenly over {shards} workers")
        self._local_batch, self._shard, self._shards = self._batch_size // shards, shard, shards
        self._shard_rows = self._snapshot.shard_rows(shards)
        columns = self._layout.id_width + self._layout.number_width
        self._in_memory = self._shard_rows[shard] * max(1.0, columns / COLUMNS) <= self._memory_rows
        self._rows: Rows | None = None

    def resharded(self, shard: int, shards: int) -> "TableLoader":
        """The same rows in global batches of the same size, sharded over other workers."""
        loader = copy(self)
        loader._distribute(shard, shards)
        return loader

    @property
    def steps(self) -> int:
        """Batches of an epoch, for the worker with the most rows; the last ones of the others may be empty."""
        return -(-max(self._shard_rows) // self._local_batch)

    @property
    def rows(self) -> int:
        """Rows of all shards."""
        return self._snapshot.rows

    def epoch(self, number: int) -> Iterator[Batch]:
        """Every row of the shard once; shuffled by seed, epoch and shard, the same on each call.

        A thread decodes, shuffles and slices ahead.
        """
        return prefetched(self._batches(number), AHEAD)

    def _batches(self, number: int) -> Generator[Batch, None, None]:
        slices = self._slices(np.random.default_rng([self._seed, number, self._shard]))
        empty = Rows.empty(self._layout, len(self._labels))
        for step in range(self.steps):
            rows = next(slices, empty)
            total = sum(min(max(rows - step * self._local_batch, 0), self._local_batch) for rows in self._shard_rows)
            ids, numbers, labels = self._tensors(rows)
            features = Features(ids.long(), numbers)  # after the copy: half as much to copy as int64
            yield Batch(features, {task: labels[:, n] for n, task in enumerate(self._labels)}, total)

    def _tensors(self, rows: Rows) -> list[torch.Tensor]:
        tensors = [torch.from_numpy(values) for values in rows]
        if self._device.type == "cpu":
            return tensors
        # Copies out of pinned memory are asynchronous; all threads use one stream, so they end before a step reads.
        return [tensor.pin_memory().to(self._device, non_blocking=True) for tensor in tensors]

    def _slices(self, random: np.random.Generator) -> Iterator[Rows]:
        if self._in_memory:
            rows = self._decoded()
            order = random.permutation(len(rows.labels)) if self._shuffle else np.arange(len(rows.labels))
            for start in range(0, len(order), self._local_batch):
                yield rows.take(order[start : start + self._local_batch])
        else:
            yield from self._streamed(random)

    def _decoded(self) -> Rows:
        if self._rows is None:
            self._rows = concatenate(list(self._read(seed=None)))
        return self._rows

    def _streamed(self, random: np.random.Generator) -> Iterator[Rows]:
        """Batches from a buffer that is filled, shuffled and half emptied in turn. No row is left out or repeated."""
        buffer: list[Rows] = []
        for group in self._read(seed=int(random.integers(2**31)) if self._shuffle else None):
            buffer.append(group)
            buffered = sum(len(rows.labels) for rows in buffer)
            if buffered >= self._buffer_rows + self._local_batch:
                emit = (buffered - self._buffer_rows // 2) // self._local_batch * self._local_batch
                rows = self._shuffled(buffer, random)
                yield from self._cut(rows.take(slice(0, emit)))
                buffer = [rows.take(slice(emit, None))]
        if buffer:
            yield from self._cut(self._shuffled(buffer, random))

    def _shuffled(self, groups: list[Rows], random: np.random.Generator) -> Rows:
        rows = concatenate(groups)
        return rows.take(random.permutation(len(rows.labels))) if self._shuffle else rows

    def _cut(self, rows: Rows) -> Iterator[Rows]:
        for start in range(0, len(rows.labels), self._local_batch):
            yield rows.take(slice(start, start + self._local_batch))

    def _read(self, seed: int | None) -> Iterator[Rows]:
        columns = list(self._labels.values())
        return read_shard(self._snapshot, self._layout, columns, self._shard, self._shards, seed)
