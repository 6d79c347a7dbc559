"""The input of the FC layers: a vector a feature, their crosses (paper section 2.1, Fig. 1a), and numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn

from ncs.data_loading import Features
from ncs.kinds import Layout
from ncs.nets.crosses import Crossed, DotProducts, KroneckerProducts, field_columns, grids
from ncs.nets.dropout import Dropout
from ncs.nets.embedding import FieldEmbedding, ShardedEmbedding, Workers
from ncs.nets.members import MemberScales, repeated
from ncs.nets.numbers import Numbers
from ncs.nets.pooling import Pooling


@dataclass(frozen=True)
class InputSpec:
    """The specification of the input layers.

    Features of ids, and projected vectors of numbers, have a vector of the embedding's width each; numbers stand beside
    these vectors, after them; then come the crosses of pairs of vectors.
    """

    layout: Layout
    sizes: Mapping[str, int]
    """The rows of each of `layout.tables`."""
    embedding: int
    crosses: tuple[tuple[str, str], ...]
    """Names of features that have a vector."""
    interaction: Literal["kronecker", "dot"] = "kronecker"
    workers: Workers | None = field(default=None, compare=False, repr=False)
    """The workers that the embedding table is sharded over; None if each has all of it."""
    dropout: float = 0.0
    """The share of the vectors' numbers that a training step leaves out."""
    members: int = 1
    """The members of the net, each of which scales vectors and numbers in its own way before they are crossed."""

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The crosses as positions in `layout.vectors`."""
        position = {name: n for n, name in enumerate(self.layout.vectors)}
        return [(position[left], position[right]) for left, right in self.crosses]

    @property
    def table_of_column(self) -> list[int]:
        """The table of each column of ids, as its position in `layout.tables`."""
        position = {name: n for n, name in enumerate(self.layout.tables)}
        return [position[slot.table] for slot in self.layout.ids for _ in range(slot.length)]

    @property
    def size_of_column(self) -> list[int]:
        """The number of ids of each column of ids."""
        tables = self.layout.tables
        return [self.sizes[tables[table]] for table in self.table_of_column]

    @property
    def base(self) -> int:
        """Width of the output before the crosses: vectors, numbers and flags."""
        numbers = [slot for slot in self.layout.numbers if not slot.projected]
        flags = sum(slot.length for slot in numbers if slot.nullable)
        return len(self.layout.vectors) * self.embedding + sum(slot.length for slot in numbers) + flags

    @property
    def width(self) -> int:
        """Width of the output."""
        vectors = len(self.layout.vectors)
        if self.interaction == "dot":
            return self.base + vectors * (vectors - 1) // 2
        return self.base + len(self.crosses) * self.embedding**2

    def columns(self) -> dict[str, list[int]]:
        """The output columns of each feature, and of each cross (`<feature> x <feature>`)."""
        each, vectors = range(self.embedding), self.layout.vectors
        plain = [slot for slot in self.layout.numbers if not slot.projected]
        names = [name for name in vectors for _ in each]
        names += [slot.name for slot in plain for _ in range(slot.length)]
        names += [slot.name for slot in plain if slot.nullable for _ in range(slot.length)]
        if self.interaction == "dot":
            names += [f"{left} x {right}" for left, right in combinations(vectors, 2)]
        else:
            for lefts, rights in grids(self.pairs):
                names += [f"{vectors[m]} x {vectors[n]}" for m in lefts for _ in each for n in rights for _ in each]
        columns: dict[str, list[int]] = {}
        for column, name in enumerate(names):
            columns.setdefault(name, []).append(column)
        return columns

    def units(self) -> Tensor:
        """The sources of each output column, int [columns, 2]: two dimensions of vectors, a number, or a flag.

        Dimensions are numbered from 0, vector by vector, then numbers and flags. A column of a single one names it
        twice; of a dot product, which takes all dimensions of two vectors, both are -1.
        """
        alone = torch.arange(self.base).unsqueeze(1).expand(-1, 2)
        if self.interaction == "dot":
            return torch.cat([alone, torch.full((self.width - self.base, 2), -1)])
        each = torch.arange(self.embedding)
        crossed = []
        for lefts, rights in grids(self.pairs):
            left, right = (torch.cat([vector * self.embedding + each for vector in side]) for side in (lefts, rights))
            crossed.append(torch.cartesian_prod(left, right))
        return torch.cat([alone, *crossed])


class Inputs(nn.Module):
    """Embedding, pooling, numbers and feature-cross layer, concatenated.

    With several members the rows of a batch come out once for each member, see `ncs.nets.members`.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        layout, width = spec.layout, spec.embedding
        self.pooling = Pooling(layout, width)
        rows = [spec.sizes[table] for table in layout.tables]
        columns, padded = spec.table_of_column, self.pooling.is_needed
        self.embedding = (
            ShardedEmbedding(rows, width, spec.workers, columns, padded)
            if spec.workers
            else FieldEmbedding(rows, width, columns, padded)
        )
        self.numbers = Numbers(layout, width)
        self.dropout = Dropout(spec.dropout)
        self.cross = DotProducts(len(layout.vectors)) if spec.interaction == "dot" else KroneckerProducts(spec.pairs)
        self.scales = MemberScales(spec.members, spec.base, signs=True) if spec.members > 1 else None

    def forward(self, features: Features) -> Tensor:
        """Features of a batch -> [members * batch, `InputSpec.width`]."""
        vectors, numbers = self._parts(features)
        return torch.cat([vectors.flatten(1), numbers, *self.cross(vectors)], dim=1)

    def lazy(self, features: Features, trained: Tensor | None = None) -> Tensor | Crossed:
        """The same for a single FC layer, which computes the crosses tile by tile; dot products are not lazy.

        `trained` bool [embedding]: the dimensions of the vectors that have a gradient, None for all.
        """
        vectors, numbers = self._parts(features)
        if trained is not None:
            vectors = torch.where(trained, vectors, vectors.detach())
        if isinstance(self.cross, DotProducts):
            return torch.cat([vectors.flatten(1), numbers, *self.cross(vectors)], dim=1)
        width = self.embedding.width
        blocks = [(field_columns(left, width), field_columns(right, width)) for left, right in self.cross.blocks]
        flat = vectors.flatten(1)
        return Crossed(torch.cat([flat, numbers], 1) if numbers.shape[1] else flat, blocks)

    def _parts(self, features: Features) -> tuple[Tensor, Tensor]:
        """Vectors [members * batch, features, width], and numbers with their flags [..., numbers + flags]."""
        numbers, projected = self.numbers(features.numbers)
        vectors = self.pooling(self.embedding(features.ids), features.ids)
        vectors = self.dropout(with_vectors(vectors, projected))
        if self.scales is None:
            return vectors, numbers
        base = self.scales(repeated(torch.cat([vectors.flatten(1), numbers], 1), self.scales.members))
        flat, numbers = base.split([vectors.shape[1] * vectors.shape[2], numbers.shape[1]], 1)
        return flat.unflatten(1, vectors.shape[1:]), numbers


def dimension_owners(width: int, tasks: int) -> Tensor:
    """The owner of each dimension of an embedding, int [width]: a task's number, or -1 for those of all tasks.

    Each task has the width over the number of tasks and one, rounded down: the last dimensions, in the tasks' order.
    """
    own = width // (tasks + 1)
    owners = torch.full((width,), -1)
    owners[width - own * tasks :] = torch.arange(tasks).repeat_interleave(own)
    return owners


def with_vectors(vectors: Tensor, projected: list[Tensor]) -> Tensor:
    """The vectors of ids [batch, features, width], and behind them those of projected numbers [batch, width] each."""
    return torch.cat([vectors, *(vector.unsqueeze(1) for vector in projected)], 1) if projected else vectors
