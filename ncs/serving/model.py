"""The net that is served: ids in, one task's prediction out, nothing in it that the task does not use.

The first layer is a sum of products, one for the embeddings and one for each field that is crossed: the crosses of a
batch never stand in memory at once, which costs more than the multiplications themselves (docs/how_to/serving.md).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ncs.nets.crosses import DotProducts, KroneckerProducts
from ncs.nets.subnetwork import Layer, Subnetwork
from ncs.nets.system import NetSpec
from ncs.serving.compact import compact, read_columns


class Linear(nn.Module):
    """An FC layer of buffers: nothing of a model that is served asks for gradients."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.register_buffer("weight", layer.weight.detach().clone(memory_format=torch.contiguous_format))
        self.register_buffer("bias", layer.bias.detach().clone())
        self.weight: Tensor
        self.bias: Tensor

    def forward(self, input: Tensor) -> Tensor:
        """Input [batch, in] -> [batch, out]."""
        return F.linear(input, self.weight, self.bias)


class Products(nn.Module):
    """A part of the first layer: products of two blocks of the embeddings' columns, and the weights that read them.

    Of the columns only those that some kept connection reads, through a product, are in the blocks.
    """

    def __init__(self, left: Tensor, right: Tensor, weight: Tensor) -> None:
        """Columns [m] and [n], weight [out, m, n]."""
        super().__init__()
        in_left, in_right = read_columns(weight.transpose(1, 2).flatten(0, 1)), read_columns(weight.flatten(0, 1))
        self.register_buffer("left", left[in_left])
        self.register_buffer("right", right[in_right])
        self.register_buffer("weight", weight.detach()[:, in_left][:, :, in_right].flatten(1).T.contiguous())
        self.left: Tensor
        self.right: Tensor
        self.weight: Tensor

    def forward(self, embedded: Tensor, total: Tensor) -> Tensor:
        """Embeddings [batch, fields * width] and the other parts' sum [batch, out] -> the sum with this part."""
        left, right = embedded.index_select(1, self.left), embedded.index_select(1, self.right)
        return torch.addmm(total, (left.unsqueeze(2) * right.unsqueeze(1)).flatten(1), self.weight)


class DotPart(nn.Module):
    """A part of the first layer: dot products of pairs of embeddings, those that some kept connection reads."""

    def __init__(self, cross: DotProducts, fields: int, weight: Tensor) -> None:
        super().__init__()
        read = read_columns(weight)
        self.fields = fields
        self.register_buffer("pairs", (cross.left * fields + cross.right)[read])
        self.register_buffer("weight", weight.detach()[:, read].T.contiguous())
        self.pairs: Tensor
        self.weight: Tensor

    def forward(self, embedded: Tensor, total: Tensor) -> Tensor:
        """As `Products`."""
        rows = embedded.unflatten(1, (self.fields, -1))
        dots = torch.bmm(rows, rows.transpose(1, 2)).flatten(1)
        return torch.addmm(total, dots.index_select(1, self.pairs), self.weight)


class ServingNet(nn.Module):
    """One task of a trained system, for ids of all fields in the order of the configuration.

    An id that the vocabulary has not is taken for 0, unknown.
    """

    def __init__(self, spec: NetSpec, subnetwork: Subnetwork) -> None:
        super().__init__()
        first, *rest = compact(subnetwork.layers)
        self.layers = nn.ModuleList([Linear(layer) for layer in rest])
        inputs, sizes = subnetwork.inputs, spec.inputs.sizes
        width = len(sizes) * spec.inputs.embedding
        self.register_buffer("sizes", torch.tensor(sizes))
        self.register_buffer("offsets", inputs.embedding.offsets.clone())
        self.register_buffer("table", inputs.embedding.table.detach().clone())
        self.first = Linear(Layer(first.weight[:, :width], first.bias))
        self.parts = nn.ModuleList(_parts(inputs.cross, spec, first.weight[:, width:]))
        self.sizes: Tensor
        self.offsets: Tensor
        self.table: Tensor

    def forward(self, ids: Tensor) -> Tensor:
        """Ids int64 [batch, fields] -> the task's prediction float32 [batch], within [0, 1]."""
        known = torch.where((ids >= 0) & (ids < self.sizes), ids, 0)
        embedded = self.table.index_select(0, (known + self.offsets).flatten()).view(ids.shape[0], -1)
        output = self.first(embedded)
        for part in self.parts:
            output = part(embedded, output)
        for layer in self.layers:
            output = layer(F.relu(output))
        return torch.sigmoid(output.squeeze(1))

    def widths(self) -> list[int]:
        """Of the first layer's input, as far as it is computed, the hidden layers, and the output."""
        shapes = [layer.weight.shape for layer in cast(Sequence[Linear], [self.first, *self.layers])]
        crossed = sum(part.weight.shape[0] for part in cast(Sequence[Products | DotPart], self.parts))
        return [shapes[0][1] + crossed, *(after for after, _ in shapes)]

    def size(self) -> int:
        """Parameters: embeddings, weights, biases."""
        widths = self.widths()
        return self.table.numel() + macs(widths) + sum(widths[1:])


def macs(widths: list[int]) -> int:
    """Multiplications of FC layers, a row."""
    return sum(before * after for before, after in pairwise(widths))


def _parts(cross: nn.Module, spec: NetSpec, weight: Tensor) -> list[Products | DotPart]:
    """The crosses' part of the first layer, from its weights [out, products]."""
    if isinstance(cross, DotProducts):
        return [DotPart(cross, len(spec.inputs.sizes), weight)] if weight.any() else []
    assert isinstance(cross, KroneckerProducts)
    width, start = spec.inputs.embedding, 0
    parts: list[Products | DotPart] = []
    for lefts, rights in cross.blocks:
        right = _columns(rights, width)
        for field in lefts:
            left = _columns((field,), width)
            end = start + len(left) * len(right)
            parts.append(Products(left, right, weight[:, start:end].unflatten(1, (len(left), len(right)))))
            start = end
    return [part for part in parts if part.weight.numel()]


def _columns(fields: tuple[int, ...], width: int) -> Tensor:
    return torch.cat([torch.arange(field * width, (field + 1) * width) for field in fields])
