"""Batches of one task for one worker: an epoch is every row of the shard once, in as many steps as on every worker."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ncs.data_loading.prefetch import prefetched
from ncs.data_loading.reader import Rows, concatenate, read_shard
from ncs.data_loading.snapshot import Snapshot
from ncs.errors import TrainingError

AHEAD = 8
"""Batches that wait ready: a shuffle buffer is refilled while they are used up."""


@dataclass(frozen=True)
class Batch:
    """One worker's part of a global batch.

    `ids` int64 [rows, fields]; `labels` float32 [rows] of every task, NaN where a row has none of a task that is not
    the batch's own; `total` is the rows of the global batch over all workers, by which every worker divides its
    summed loss, so that a short part counts by its rows.
    """

    ids: torch.Tensor
    labels: Mapping[str, torch.Tensor]
    total: int


class Loader(Protocol):
    """What a training loop draws from."""

    @property
    def steps(self) -> int:
        """Batches of an epoch, the same on every worker."""

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch, numbered from 0."""

    def resharded(self, shard: int, shards: int) -> "Loader":
        """The same rows in global batches of the same size, shared out over other workers."""


class TableLoader:
    """A shard of a Delta table, read through Petastorm.

    A shard of at most `memory_rows` is decoded once and stays in memory over all epochs and pruning rounds; a
    larger one streams through a shuffle buffer each epoch.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        fields: Sequence[str],
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
        """`labels` names each task's column; `batch_size` is the global one, each worker takes an equal part of it.

        Batches lie on `device` when they are asked for.
        """
        self._snapshot, self._fields, self._labels = snapshot, tuple(fields), dict(labels)
        self._batch_size, self._seed, self._shuffle = batch_size, seed, shuffle
        self._memory_rows, self._buffer_rows = memory_rows, buffer_rows
        self._device = torch.device(device)
        self._distribute(shard, shards)

    def _distribute(self, shard: int, shards: int) -> None:
        if self._batch_size % shards:
            raise TrainingError(f"train.batch_size {self._batch_size} cannot be parted evenly over {shards} workers")
        self._part, self._shard, self._shards = self._batch_size // shards, shard, shards
        self._shard_rows = self._snapshot.shard_rows(shards)
        self._in_memory = self._shard_rows[shard] <= self._memory_rows
        self._rows: Rows | None = None

    def resharded(self, shard: int, shards: int) -> "TableLoader":
        """The same rows in global batches of the same size, shared out over other workers."""
        loader = copy(self)
        loader._distribute(shard, shards)
        return loader

    @property
    def steps(self) -> int:
        """Batches of an epoch: what the worker with the most rows needs. The others end with empty parts."""
        return -(-max(self._shard_rows) // self._part)

    @property
    def rows(self) -> int:
        """Rows of all shards."""
        return self._snapshot.rows

    def epoch(self, number: int) -> Iterator[Batch]:
        """Every row of the shard once; shuffled by seed, epoch and shard, the same on each call.

        A thread decodes, shuffles and cuts ahead of what is asked for.
        """
        return prefetched(self._batches(number), AHEAD)

    def _batches(self, number: int) -> Generator[Batch, None, None]:
        parts = self._parts(np.random.default_rng([self._seed, number, self._shard]))
        nothing = Rows(
            np.empty((0, len(self._fields)), dtype=np.int32), np.empty((0, len(self._labels)), dtype=np.float32)
        )
        for step in range(self.steps):
            rows = next(parts, nothing)
            total = sum(min(max(rows - step * self._part, 0), self._part) for rows in self._shard_rows)
            ids, labels = self._tensors(rows)
            yield Batch(ids, {task: labels[:, n] for n, task in enumerate(self._labels)}, total)

    def _tensors(self, rows: Rows) -> tuple[torch.Tensor, torch.Tensor]:
        ids, labels = torch.from_numpy(rows.ids), torch.from_numpy(rows.labels)
        if self._device.type == "cpu":
            return ids.long(), labels
        # Out of pinned memory nobody waits for a copy; on the one stream of all threads it is done before a step reads.
        ids, labels = (one.pin_memory().to(self._device, non_blocking=True) for one in (ids, labels))
        return ids.long(), labels  # half as much to copy as int64

    def _parts(self, random: np.random.Generator) -> Iterator[Rows]:
        if self._in_memory:
            rows = self._decoded()
            order = random.permutation(len(rows.labels)) if self._shuffle else np.arange(len(rows.labels))
            for start in range(0, len(order), self._part):
                yield rows.take(order[start : start + self._part])
        else:
            yield from self._streamed(random)

    def _decoded(self) -> Rows:
        if self._rows is None:
            self._rows = concatenate(list(self._read(seed=None)))
        return self._rows

    def _streamed(self, random: np.random.Generator) -> Iterator[Rows]:
        """Batches out of a buffer: filled, shuffled, half emptied, filled again. No row is left out or repeated."""
        waiting: list[Rows] = []
        for group in self._read(seed=int(random.integers(2**31)) if self._shuffle else None):
            waiting.append(group)
            held = sum(len(rows.labels) for rows in waiting)
            if held >= self._buffer_rows + self._part:
                emit = (held - self._buffer_rows // 2) // self._part * self._part
                rows = self._shuffled(waiting, random)
                yield from self._cut(rows.take(slice(0, emit)))
                waiting = [rows.take(slice(emit, None))]
        if waiting:
            yield from self._cut(self._shuffled(waiting, random))

    def _shuffled(self, parts: list[Rows], random: np.random.Generator) -> Rows:
        rows = concatenate(parts)
        return rows.take(random.permutation(len(rows.labels))) if self._shuffle else rows

    def _cut(self, rows: Rows) -> Iterator[Rows]:
        for start in range(0, len(rows.labels), self._part):
            yield rows.take(slice(start, start + self._part))

    def _read(self, seed: int | None) -> Iterator[Rows]:
        columns = list(self._labels.values())
        return read_shard(self._snapshot, self._fields, columns, self._shard, self._shards, seed)
