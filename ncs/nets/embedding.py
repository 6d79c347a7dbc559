"""The embedding table of all fields: whole on each worker, or shared out over them."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import pandas as pd
import torch
from torch import Tensor, nn

SHARD = "shard"
"""The name of a parameter of which each worker has rows of its own: all else, all workers have alike."""
_STD = 0.05
_DRAWN_AT_ONCE = 1 << 16
"""Rows. A multiple of 16: the generator draws so many numbers at a time."""


class Workers(Protocol):
    """What a shared-out table asks of those that hold it (`ncs.training.cluster.Cluster`)."""

    rank: int
    size: int

    def all_to_all(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Tensor n for worker n -> what each worker has for this one, by rank; all have to call it."""


class FieldEmbedding(nn.Module):
    """One table for all fields, field f's ids offset by the sizes of the fields before it.

    Rows begin at random, but each field's id 0 begins at zero: where no training row has a value that is unknown, none
    trains it, and an unknown value says nothing then.

    While training, only the vectors that a batch looks up take part in the graph: their gradient is as large as the
    batch, whatever the size of the table. `last_lookup` keeps them for the optimiser: rows of the table
    [batch * fields], the same row as often as it was looked up, and their vectors.
    """

    def __init__(self, sizes: Sequence[int], width: int) -> None:
        super().__init__()
        self.rows, self.width = sum(sizes), width
        self._draw()
        offsets = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        self._clear(offsets)
        self.register_buffer("offsets", offsets, persistent=False)
        self.offsets: Tensor
        self.last_lookup: tuple[Tensor, Tensor] | None = None

    def _draw(self) -> None:
        self.table = nn.Parameter(torch.empty(self.rows, self.width), requires_grad=False)
        nn.init.normal_(self.table, std=_STD)

    def _clear(self, rows: Tensor) -> None:
        """Set rows [n] of the table to zero, after the draw, so that all others are what they were without it."""
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
        """Ids [batch, fields] -> embeddings [batch, fields, width]."""
        rows = (ids + self.offsets).flatten()
        embedded = self.look_up(rows)
        if torch.is_grad_enabled():
            self.last_lookup = (rows, embedded.requires_grad_())
        return embedded.view(*ids.shape, self.width)


class ShardedEmbedding(FieldEmbedding):
    """The same, for a table that is too large for a worker: worker r of n has the rows r, r + n, ...

    Ids are numbered by how often they occur, so that each worker has as many of the frequent ones. Of a batch each row
    is asked for once. All workers have to look up, and to step, equally often.
    """

    def __init__(self, sizes: Sequence[int], width: int, workers: Workers) -> None:
        self._workers = workers
        super().__init__(sizes, width)

    def _draw(self) -> None:
        """The rows that the whole table would have here, which is drawn in parts and never held."""
        own, start, step = [], 0, _DRAWN_AT_ONCE
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
        """Rows [n] of the table -> [n, width], those of other workers out of their hands."""
        found, places = unique_rows(rows)
        order, asked = self._by_owner(found)
        given = [self.shard.index_select(0, self._local(one)) for one in self._workers.all_to_all(asked)]
        vectors = torch.cat(self._workers.all_to_all(given))
        return vectors.index_select(0, order.argsort().index_select(0, places))

    def route_gradients(self, rows: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Rows of the table and their gradients [n, width], to their owners -> what this worker is given, by sender.

        Rows are those of `local_rows`; one stands there as often as workers have sent it.
        """
        # One message instead of two: a row's number travels as two floats of the same bits, which nobody adds up.
        sent = torch.cat([rows.unsqueeze(1).view(torch.float32), gradient], 1)
        order, parts = self._by_owner(rows)
        lengths = [len(part) for part in parts]
        got = torch.cat(self._workers.all_to_all(sent.index_select(0, order).split(lengths)))
        rows, gradient = got.split([2, self.width], 1)
        return self._local(rows.contiguous().view(torch.int64).squeeze(1)), gradient

    def _by_owner(self, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The order that brings rows [n] to their owners' by rank, and the rows of each."""
        owners = rows % self._workers.size
        order = owners.argsort(stable=True)
        lengths = owners.bincount(minlength=self._workers.size).tolist()
        return order, list(rows.index_select(0, order).split(lengths))

    def _local(self, rows: Tensor) -> Tensor:
        return rows.div(self._workers.size, rounding_mode="floor")


def embeddings_of(net: nn.Module) -> Iterable[tuple[str, FieldEmbedding]]:
    """The embedding tables of a net, and where in it they are."""
    return ((name, part) for name, part in net.named_modules() if isinstance(part, FieldEmbedding))


def unique_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Every row once, and where in these each of `rows` [n] stands, [n].

    In the order of first appearance on a CPU (a hash table, several times faster than sorting), sorted on a GPU.
    """
    if rows.is_cuda:
        found, places = rows.unique(return_inverse=True)
        return found, places
    codes, uniques = pd.factorize(rows.numpy())
    return torch.from_numpy(uniques), torch.from_numpy(codes)
