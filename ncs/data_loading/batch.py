"""What a training step gets: the inputs of some rows, and their labels."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Features:
    """The inputs of some rows, in the columns of a `Layout`.

    `ids` int64 [rows, layout.id_width], -1 where a list has fewer elements than columns; `numbers` float32
    [rows, layout.number_width], NaN where a value is missing.
    """

    ids: Tensor
    numbers: Tensor

    @classmethod
    def of_ids(cls, ids: Tensor) -> "Features":
        """Of a layout without numbers."""
        return cls(ids, torch.zeros(len(ids), 0, device=ids.device))

    @classmethod
    def joined(cls, chunks: Sequence["Features"]) -> "Features":
        """The rows of all chunks."""
        return cls(torch.cat([chunk.ids for chunk in chunks]), torch.cat([chunk.numbers for chunk in chunks]))

    @property
    def rows(self) -> int:
        """The number of rows."""
        return len(self.ids)

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.ids.device

    def __getitem__(self, index: Any) -> "Features":
        """Some of the rows: a slice, or a tensor of indices or of booleans."""
        return Features(self.ids[index], self.numbers[index])

    def to(self, device: torch.device | str) -> "Features":
        """The same on a device."""
        return Features(self.ids.to(device), self.numbers.to(device))

    def split(self, rows: int) -> Iterator["Features"]:
        """Chunks of so many rows, the last one of what is left."""
        for ids, numbers in zip(self.ids.split(rows), self.numbers.split(rows), strict=True):
            yield Features(ids, numbers)


@dataclass(frozen=True)
class Batch:
    """One worker's slice of a global batch.

    `labels` float32 [rows] of every task, NaN where a row has no label of a task other than the batch's own; `total` is
    the number of rows of the global batch, by which every worker divides its summed loss.
    """

    features: Features
    labels: Mapping[str, Tensor]
    total: int
