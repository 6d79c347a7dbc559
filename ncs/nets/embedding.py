"""The embedding table of all features: replicated on each worker, or sharded over them."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import pandas as pd
import torch
from torch import Tensor, nn

SHARD = "shard"
"""The name of a parameter of which each worker has its own rows; all other parameters are equal on all workers."""
_STD = 0.05
_DRAW_CHUNK = 1 << 16
"""Rows. A multiple of 16, the numbers that the generator draws at a time."""


class Workers(Protocol):
    """The collective that a sharded table needs (`ncs.training.cluster.Cluster` has it)."""

    rank: int
    size: int

    def all_to_all(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Send tensor n to worker n -> the tensors sent to this one, by rank; all workers have to call it."""


class FieldEmbedding(nn.Module):
    """The tables of all features as one, the ids of table t offset by the sizes of the tables before it.

    Rows are initialised at random, but the row of each table's id 0 (unknown) with zeros: if no training row has an
    unknown value, it stays zero, and an unknown value has no effect.

    In training only the looked-up vectors are part of the graph: their gradient is as large as the batch, whatever the
    size of the table. `last_lookup` keeps them for the optimiser: rows of the table [n], repeated as often as they were
    looked up, and their vectors [n, width]. Padding is not looked up.
    """

    def __init__(
        self, sizes: Sequence[int], width: int, columns: Sequence[int] | None = None, padded: bool = False
    ) -> None:
        """`sizes` are the rows of each table; `columns` the table of each column of ids, by default one a table.

        `padded`: ids may be -1, and have zeros as their vector.
        """
        super().__init__()
        self.rows, self.width, self._padded = sum(sizes), width, padded
        self._draw()
        starts = torch.tensor([0, *sizes]).cumsum(0)[:-1]
        self._clear(starts)
        offsets = starts[list(range(len(sizes)) if columns is None else columns)]
        self.register_buffer("offsets", offsets, persistent=False)
        self.offsets: Tensor
        self.last_lookup: tuple[Tensor, Tensor] | None = None

    def _draw(self) -> None:
        self.table = nn.Parameter(torch.empty(self.rows, self.width), requires_grad=False)
        nn.init.normal_(self.table, std=_STD)

    def _clear(self, rows: Tensor) -> None:
        """Set rows [n] of the table to zero after the draw, so that all other rows are the same without it."""
        with torch.no_grad():
            self.local_rows[rows] = 0.0

    @property
    def local_rows(self) -> nn.Parameter:
        """The rows that this worker has."""
        return self.table

    def look_up(self, rows: Tensor) -> Tensor:
        """Rows [n] of the table -> [n, width]."""
        return self.table.index_select(0, rows)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids [batch, columns] -> their vectors [batch, columns, width]."""
        rows = (ids + self.offsets).flatten()
        if not self._padded:
            return self._recorded(rows).view(*ids.shape, self.width)
        present = (ids >= 0).flatten().nonzero().squeeze(1)
        embedded = self._recorded(rows.index_select(0, present))
        whole = embedded.new_zeros(ids.numel(), self.width).index_copy(0, present, embedded)
        return whole.view(*ids.shape, self.width)

    def _recorded(self, rows: Tensor) -> Tensor:
        """Rows [n] of the table -> [n, width], kept for the optimiser where there are gradients."""
        embedded = self.look_up(rows)
        if torch.is_grad_enabled():
            self.last_lookup = (rows, embedded.requires_grad_())
        return embedded


class ShardedEmbedding(FieldEmbedding):
    """The same, for a table that is too large for a worker: worker r of n has the rows r, r + n, ...

    Ids are numbered by frequency, so that each worker has as many of the frequent ones. Each row of a batch is
    requested once. All workers have to look up, and to step, equally often.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        width: int,
        workers: Workers,
        columns: Sequence[int] | None = None,
        padded: bool = False,
    ) -> None:
        self._workers = workers
        super().__init__(sizes, width, columns, padded)

    def _draw(self) -> None:
        """The rows of the whole table that belong here; it is drawn in chunks and never whole in memory."""
        own, start, step = [], 0, _DRAW_CHUNK
        while start < self.rows:
            rows = step if self.rows - start >= 2 * step else self.rows - start
            drawn = nn.init.normal_(torch.empty(rows, self.width), std=_STD)
            own.append(drawn[(self._workers.rank - start) % self._workers.size :: self._workers.size].clone())
            start += rows
        self.shard = nn.Parameter(torch.cat(own), requires_grad=False)

    def _clear(self, rows: Tensor) -> None:
        super()._clear(self._local(rows[rows % self._workers.size == self._workers.rank]))

    @property
    def local_rows(self) -> nn.Parameter:
        """The rows that this worker has."""
        return self.shard

    def look_up(self, rows: Tensor) -> Tensor:
        """Rows [n] of the table -> [n, width], fetched from the workers that own them."""
        unique, positions = unique_rows(rows)
        order, by_owner = self._by_owner(unique)
        requests = self._workers.all_to_all(by_owner)
        vectors = [self.shard.index_select(0, self._local(requested)) for requested in requests]
        fetched = torch.cat(self._workers.all_to_all(vectors))
        return fetched.index_select(0, order.argsort().index_select(0, positions))

    def route_gradients(self, rows: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Send rows of the table and their gradients [n, width] to their owners -> those sent to this worker.

        They are numbered as in `local_rows`; a row occurs once for each worker that has sent it.
        """
        # One message instead of two: a row's number is sent as two floats of the same bits, which are never summed.
        message = torch.cat([rows.unsqueeze(1).view(torch.float32), gradient], 1)
        order, by_owner = self._by_owner(rows)
        lengths = [len(owned) for owned in by_owner]
        received = torch.cat(self._workers.all_to_all(message.index_select(0, order).split(lengths)))
        rows, gradient = received.split([2, self.width], 1)
        return self._local(rows.contiguous().view(torch.int64).squeeze(1)), gradient

    def _by_owner(self, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The order that sorts rows [n] by the rank of their owner, and the rows of each owner."""
        owners = rows % self._workers.size
        order = owners.argsort(stable=True)
        lengths = owners.bincount(minlength=self._workers.size).tolist()
        return order, list(rows.index_select(0, order).split(lengths))

    def _local(self, rows: Tensor) -> Tensor:
        return rows.div(self._workers.size, rounding_mode="floor")


def named_embeddings(net: nn.Module) -> Iterable[tuple[str, FieldEmbedding]]:
    """The embedding tables of a net, with their module names."""
    return ((name, module) for name, module in net.named_modules() if isinstance(module, FieldEmbedding))


def unique_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The unique rows, and the position in them of each of `rows`, [n].

    In the order of first appearance on a CPU (a hash table, several times faster than sorting), sorted on a GPU.
    """
    if rows.is_cuda:
        unique, positions = rows.unique(return_inverse=True)
        return unique, positions
    codes, uniques = pd.factorize(rows.numpy())
    return torch.from_numpy(uniques), torch.from_numpy(codes)
