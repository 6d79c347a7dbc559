"""From ids to the FC layers' input: embeddings and products of them (paper section 2.1, Fig. 1a)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn

from ncs.nets.crosses import Crossed, DotProducts, KroneckerProducts, columns_of, grids
from ncs.nets.embedding import FieldEmbedding, ShardedEmbedding, Workers


@dataclass(frozen=True)
class InputSpec:
    """What the input layers are built from: each field's number of ids, the width, pairs of field positions."""

    sizes: tuple[int, ...]
    embedding: int
    crosses: tuple[tuple[int, int], ...]
    interaction: Literal["kronecker", "dot"] = "kronecker"
    workers: Workers | None = field(default=None, compare=False, repr=False)
    """Those that the embedding table is shared out over; None where each has all of it."""

    @property
    def width(self) -> int:
        """Width of what comes out."""
        fields = len(self.sizes)
        if self.interaction == "dot":
            return fields * self.embedding + fields * (fields - 1) // 2
        return fields * self.embedding + len(self.crosses) * self.embedding**2

    def columns(self, fields: Sequence[str]) -> dict[str, list[int]]:
        """Which columns of what comes out hold each field's embedding, and each cross (`<field> x <field>`)."""
        each = range(self.embedding)
        loaders = [name for name in fields for _ in each]
        if self.interaction == "dot":
            loaders += [f"{left} x {right}" for left, right in combinations(fields, 2)]
        else:
            for lefts, rights in grids(self.crosses):
                loaders += [f"{fields[m]} x {fields[n]}" for m in lefts for _ in each for n in rights for _ in each]
        found: dict[str, list[int]] = {}
        for column, name in enumerate(loaders):
            found.setdefault(name, []).append(column)
        return found


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
        """The same for one FC layer alone, which then makes the crosses as it reads them."""
        if isinstance(self.cross, DotProducts):
            return self(ids)
        width = self.embedding.width
        blocks = [(columns_of(left, width), columns_of(right, width)) for left, right in self.cross.blocks]
        return Crossed(self.embedding(ids).flatten(1), blocks)
