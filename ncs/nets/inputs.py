"""The input of the FC layers: embeddings of ids, and their crosses (paper section 2.1, Fig. 1a)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn

from ncs.nets.crosses import Crossed, DotProducts, KroneckerProducts, field_columns, grids
from ncs.nets.embedding import FieldEmbedding, ShardedEmbedding, Workers


@dataclass(frozen=True)
class InputSpec:
    """Sizes of the input layers: number of ids of each field, embedding width, pairs of field positions to cross."""

    sizes: tuple[int, ...]
    embedding: int
    crosses: tuple[tuple[int, int], ...]
    interaction: Literal["kronecker", "dot"] = "kronecker"
    workers: Workers | None = field(default=None, compare=False, repr=False)
    """The workers that the embedding table is sharded over; None if each has all of it."""

    @property
    def width(self) -> int:
        """Width of the output."""
        fields = len(self.sizes)
        if self.interaction == "dot":
            return fields * self.embedding + fields * (fields - 1) // 2
        return fields * self.embedding + len(self.crosses) * self.embedding**2

    def columns(self, fields: Sequence[str]) -> dict[str, list[int]]:
        """The output columns of each field's embedding, and of each cross (`<field> x <field>`)."""
        each = range(self.embedding)
        names = [name for name in fields for _ in each]
        if self.interaction == "dot":
            names += [f"{left} x {right}" for left, right in combinations(fields, 2)]
        else:
            for lefts, rights in grids(self.crosses):
                names += [f"{fields[m]} x {fields[n]}" for m in lefts for _ in each for n in rights for _ in each]
        columns: dict[str, list[int]] = {}
        for column, name in enumerate(names):
            columns.setdefault(name, []).append(column)
        return columns


class Inputs(nn.Module):
    """Embedding layer and feature-cross layer, concatenated."""

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.embedding = (
            ShardedEmbedding(spec.sizes, spec.embedding, spec.workers)
            if spec.workers
            else FieldEmbedding(spec.sizes, spec.embedding)
        )
        self.cross = DotProducts(len(spec.sizes)) if spec.interaction == "dot" else KroneckerProducts(spec.crosses)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids [batch, fields] -> [batch, `InputSpec.width`]."""
        embedded = self.embedding(ids)
        return torch.cat([embedded.flatten(1), *self.cross(embedded)], dim=1)

    def lazy(self, ids: Tensor) -> Tensor | Crossed:
        """The same for a single FC layer, which computes the crosses tile by tile; dot products are not lazy."""
        if isinstance(self.cross, DotProducts):
            return self(ids)
        width = self.embedding.width
        blocks = [(field_columns(left, width), field_columns(right, width)) for left, right in self.cross.blocks]
        return Crossed(self.embedding(ids).flatten(1), blocks)
