"""The net that is served: ids in, one task's prediction out, with only the weights that the task uses."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ncs.nets.crosses import KroneckerProducts
from ncs.nets.layers import Subnetwork
from ncs.nets.model import NetSpec
from ncs.serving.compact import compact
from ncs.serving.layers import AnyRows, Columns, Linear, OneRequest, request_fields


class ServingNet(nn.Module):
    """One task of a trained model, for ids of all fields in the order of the configuration.

    Ids outside the vocabulary become 0, unknown. Rows of one request take the faster form of the first layer.
    """

    def __init__(self, spec: NetSpec, subnetwork: Subnetwork) -> None:
        super().__init__()
        first, *rest = compact(subnetwork.layers)
        inputs, sizes, width = subnetwork.inputs, spec.inputs.sizes, spec.inputs.embedding
        self.register_buffer("sizes", torch.tensor(sizes))
        self.register_buffer("offsets", inputs.embedding.offsets.clone())
        self.register_buffer("table", inputs.embedding.table.detach().clone())
        self.width = len(sizes) * width
        self.any_rows = AnyRows(first, inputs.cross, len(sizes), width)
        self.request = request_fields(inputs.cross) if len(self.any_rows.terms) else []
        if self.request:
            assert isinstance(inputs.cross, KroneckerProducts)
            self.request_ids = Columns(torch.tensor(self.request))
            self.one_request = OneRequest(first, inputs.cross, len(sizes), width)
        self.layers = nn.ModuleList([Linear(layer) for layer in rest])
        self.sizes: Tensor
        self.offsets: Tensor
        self.table: Tensor

    def forward(self, ids: Tensor) -> Tensor:
        """Ids int64 [batch, fields] -> the task's prediction float32 [batch], within [0, 1]."""
        known = torch.where((ids >= 0) & (ids < self.sizes), ids, 0)
        embedded = F.embedding(known + self.offsets, self.table).view(-1, self.width)
        if self.request:
            request = self.request_ids(known)
            output = torch.cond((request == request[:1]).all(), self.one_request, self.any_rows, (embedded,))
        else:
            output = self.any_rows(embedded)
        for layer in self.layers:
            output = layer(F.relu(output))
        return torch.sigmoid(output.squeeze(1))

    def widths(self) -> list[int]:
        """The widths of the first layer's computed input for any rows, of the hidden layers, and of the output."""
        return [*self.any_rows.shape(), *(len(layer.bias) for layer in cast(Sequence[Linear], self.layers))]

    def request_macs(self) -> dict[str, int] | None:
        """Multiplications for rows of one request, once and for each row; None if the net has no such form."""
        if not self.request:
            return None
        _, *after = self.widths()
        return {"once": self.one_request.crossed.numel(), "row": macs([self.one_request.inputs, *after])}

    def size(self) -> int:
        """Embeddings, weights and biases; each counted once, though those for rows of one request are stored again."""
        widths = self.widths()
        return self.table.numel() + macs(widths) + sum(widths[1:])

    def bytes(self) -> int:
        """The size of all buffers in bytes."""
        return sum(buffer.numel() * buffer.element_size() for buffer in self.buffers())


def macs(widths: list[int]) -> int:
    """Multiplications of FC layers for a row."""
    return sum(before * after for before, after in pairwise(widths))
