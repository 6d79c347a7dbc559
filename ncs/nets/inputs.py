"""From ids to the FC layers' input: embeddings and products of them (paper section 2.1, Fig. 1a)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class InputSpec:
    """What the input layers are built from: each field's number of ids, the width, pairs of field positions."""

    sizes: tuple[int, ...]
    embedding: int
    crosses: tuple[tuple[int, int], ...]
    interaction: Literal["kronecker", "dot"] = "kronecker"

    @property
    def width(self) -> int:
        """Width of what comes out."""
        fields = len(self.sizes)
        if self.interaction == "dot":
            return fields * self.embedding + fields * (fields - 1) // 2
        return fields * self.embedding + len(self.crosses) * self.embedding**2


class FieldEmbedding(nn.Module):
    """One table for all fields, field f's ids offset by the sizes of the fields before it.

    While training, only the rows of a batch take part in the graph: their gradient is as large as the batch,
    whatever the size of the table. `touched` holds them for the optimiser.
    """

    def __init__(self, sizes: Sequence[int], width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(sum(sizes), width), requires_grad=False)
        nn.init.normal_(self.table, std=0.05)
        offsets = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        self.register_buffer("offsets", offsets, persistent=False)
        self.offsets: Tensor
        self.touched: tuple[Tensor, Tensor] | None = None

    def forward(self, ids: Tensor) -> Tensor:
        """Ids [batch, fields] -> embeddings [batch, fields, width]."""
        positions = ids + self.offsets
        if not torch.is_grad_enabled():
            return F.embedding(positions, self.table)
        unique, inverse = positions.unique(return_inverse=True)
        rows = self.table[unique].requires_grad_()
        self.touched = (unique, rows)
        return F.embedding(inverse, rows)


class Inputs(nn.Module):
    """Embedding layer and feature-cross layer, concatenated.

    The cross is either the Kronecker products of the configured pairs, or, as in DLRM (Naumov et al. 2019), the dot
    products of all pairs of embeddings.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.embedding = FieldEmbedding(spec.sizes, spec.embedding)
        self.interaction = spec.interaction
        pairs = torch.tensor(spec.crosses or [], dtype=torch.long).reshape(-1, 2).T
        if spec.interaction == "dot":
            pairs = torch.triu_indices(len(spec.sizes), len(spec.sizes), offset=1)
        self.register_buffer("left", pairs[0].contiguous(), persistent=False)
        self.register_buffer("right", pairs[1].contiguous(), persistent=False)
        self.left: Tensor
        self.right: Tensor

    def forward(self, ids: Tensor) -> Tensor:
        """Ids [batch, fields] -> [batch, `InputSpec.width`]."""
        embedded = self.embedding(ids)
        if self.interaction == "dot":
            products = torch.bmm(embedded, embedded.transpose(1, 2))[:, self.left, self.right]
        else:
            left, right = embedded.index_select(1, self.left), embedded.index_select(1, self.right)
            products = left.unsqueeze(3) * right.unsqueeze(2)  # all pairs at once: [batch, pairs, width, width]
        return torch.cat([embedded.flatten(1), products.flatten(1)], dim=1)
