"""Feature crosses: products of the fields' embeddings (paper section 2.1, Fig. 1a), whole or tile by tile.

All of a cross is one product of two blocks of embeddings, never a loop over pairs of fields. The products of a batch
are many times as large as its embeddings, and than a core's cache: written, read by the FC layer, and the same once
more for their gradients, they slow the matrix products down. `Crossed` computes them a tile of rows at a time, which
stays in the cache; its backward pass computes them again, which is cheaper than to have kept them (docs/speed.md).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F

TILE = 512
"""Rows of a tile: enough for a fast matrix product, few enough for a core's cache."""

Columns = slice | list[int]
"""The columns of some fields' embeddings; a slice, which copies nothing, where the fields are neighbours."""
Block = tuple[Columns, Columns]


class DotProducts(nn.Module):
    """The dot products of all pairs of embeddings, as in DLRM (Naumov et al. 2019)."""

    def __init__(self, fields: int) -> None:
        super().__init__()
        left, right = torch.triu_indices(fields, fields, offset=1)
        self.register_buffer("left", left, persistent=False)
        self.register_buffer("right", right, persistent=False)
        self.left: Tensor
        self.right: Tensor

    def forward(self, embedded: Tensor) -> list[Tensor]:
        """Embeddings [batch, fields, width] -> [batch, pairs]."""
        return [torch.bmm(embedded, embedded.transpose(1, 2))[:, self.left, self.right]]


class KroneckerProducts(nn.Module):
    """The Kronecker products of pairs of embeddings.

    Pairs form grids, every field of a block with every field of another: `user*video` is one grid. The products of a
    grid are those of its two blocks, the embeddings of each block concatenated.
    """

    def __init__(self, pairs: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.blocks = grids(pairs)
        self._numbers = range(len(self.blocks))
        for n, (left, right) in enumerate(self.blocks):
            self.register_buffer(f"left{n}", torch.tensor(left), persistent=False)
            self.register_buffer(f"right{n}", torch.tensor(right), persistent=False)

    def forward(self, embedded: Tensor) -> list[Tensor]:
        """Embeddings [batch, fields, width] -> for each grid [batch, left fields * width * right fields * width]."""
        return [kronecker(self._block(embedded, f"left{n}"), self._block(embedded, f"right{n}")) for n in self._numbers]

    def _block(self, embedded: Tensor, fields: str) -> Tensor:
        return embedded.index_select(1, self.get_buffer(fields)).flatten(1)


def grids(pairs: Sequence[tuple[int, int]]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Pairs as grids: left fields that are crossed with the same right fields, and these."""
    rights: dict[int, tuple[int, ...]] = {}
    for left, right in pairs:
        rights[left] = (*rights.get(left, ()), right)
    lefts: dict[tuple[int, ...], tuple[int, ...]] = {}
    for left, block in rights.items():
        lefts[block] = (*lefts.get(block, ()), left)
    return [(left, right) for right, left in lefts.items()]


def kronecker(left: Tensor, right: Tensor) -> Tensor:
    """The Kronecker product of two vectors for each row: [batch, m], [batch, n] -> [batch, m * n]."""
    product: Tensor = _Kronecker.apply(left, right) if torch.is_grad_enabled() else _outer(left, right)
    return product


def _outer(left: Tensor, right: Tensor) -> Tensor:
    return (left.unsqueeze(2) * right.unsqueeze(1)).flatten(1)


class _Kronecker(torch.autograd.Function):
    """With gradients as batched matrix products: many times faster than as sums of elementwise products."""

    @staticmethod
    def forward(ctx: FunctionCtx, left: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(left, right)
        return _outer(left, right)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        left, right = ctx.saved_tensors  # type: ignore[attr-defined]
        gradient = gradient.unflatten(1, (left.shape[1], right.shape[1]))
        left_gradient = torch.bmm(right.unsqueeze(1), gradient.transpose(1, 2)).squeeze(1)
        right_gradient = torch.bmm(left.unsqueeze(1), gradient).squeeze(1)
        return left_gradient, right_gradient


@dataclass(frozen=True)
class Crossed:
    """Embeddings [batch, fields * width], and of each grid of crosses the columns of its left and right fields."""

    embedded: Tensor
    blocks: Sequence[Block]

    def joined(self) -> Tensor:
        """Embeddings and products side by side, [batch, width of all]."""
        products = (kronecker(self.embedded[:, left], self.embedded[:, right]) for left, right in self.blocks)
        return torch.cat([self.embedded, *products], 1)

    def linear(self, weight: Tensor, bias: Tensor) -> Tensor:
        """An FC layer of them: weight [out, width of all], bias [out] -> [batch, out]."""
        if not self.embedded.is_cpu or torch.is_autocast_enabled("cpu"):
            return F.linear(self.joined(), weight, bias)
        output: Tensor = _Linear.apply(self.embedded, weight, bias, self.blocks)
        return output


def linear(input: Tensor | Crossed, weight: Tensor, bias: Tensor) -> Tensor:
    """An FC layer of either."""
    return input.linear(weight, bias) if isinstance(input, Crossed) else F.linear(input, weight, bias)


def field_columns(fields: Sequence[int], width: int) -> Columns:
    """The columns of some fields' embeddings."""
    if all(after == before + 1 for before, after in pairwise(fields)):
        return slice(fields[0] * width, (fields[-1] + 1) * width)
    return [field * width + n for field in fields for n in range(width)]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, embedded: Tensor, weight: Tensor, bias: Tensor, blocks: Sequence[Block]) -> Tensor:
        ctx.save_for_backward(embedded, weight)
        ctx.blocks = blocks  # type: ignore[attr-defined]
        output = embedded.new_empty(len(embedded), len(weight))
        for rows, tile in _tiles(embedded, blocks, weight.shape[1]):
            torch.addmm(bias, tile, weight.t(), out=output[rows])
        return output

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        embedded, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        blocks: Sequence[Block] = ctx.blocks  # type: ignore[attr-defined]
        weight_gradient, embedded_gradient = torch.zeros_like(weight), torch.empty_like(embedded)
        for rows, tile in _tiles(embedded, blocks, weight.shape[1]):
            output_gradient = gradient[rows]
            torch.addmm(weight_gradient, output_gradient.t(), tile, out=weight_gradient)
            torch.mm(output_gradient, weight, out=tile)  # the tile now has the gradient of its former values
            _backward_products(embedded[rows], tile, blocks, embedded_gradient[rows])
        return embedded_gradient, weight_gradient, gradient.sum(0), None


def _tiles(embedded: Tensor, blocks: Sequence[Block], width: int) -> Iterator[tuple[slice, Tensor]]:
    """Slices of rows, and `Crossed.joined` of them [rows, width]; each tile overwrites the one before."""
    buffer = embedded.new_empty(min(TILE, len(embedded)), width)
    for start in range(0, len(embedded), TILE):
        rows = slice(start, start + TILE)
        chunk = embedded[rows]
        tile = buffer[: len(chunk)]
        tile[:, : chunk.shape[1]] = chunk
        for left, right, products in _products(chunk, blocks, tile):
            torch.mul(left.unsqueeze(2), right.unsqueeze(1), out=products)
        yield rows, tile


def _backward_products(embedded: Tensor, gradient: Tensor, blocks: Sequence[Block], embedded_gradient: Tensor) -> None:
    """The gradient of a tile -> that of its embeddings, as in `_Kronecker`."""
    embedded_gradient.copy_(gradient[:, : embedded.shape[1]])
    products = _products(embedded, blocks, gradient)
    for (in_left, in_right), (left, right, grid) in zip(blocks, products, strict=True):
        _add(embedded_gradient, in_left, torch.bmm(right.unsqueeze(1), grid.transpose(1, 2)).squeeze(1))
        _add(embedded_gradient, in_right, torch.bmm(left.unsqueeze(1), grid).squeeze(1))


def _add(total: Tensor, columns: Columns, gradient: Tensor) -> None:
    if isinstance(columns, slice):
        total[:, columns] += gradient
    else:
        total.index_add_(1, torch.tensor(columns), gradient)  # a field may occur more than once


def _products(embedded: Tensor, blocks: Sequence[Block], tile: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """For each grid the left and right embeddings, [rows, m] and [rows, n], and its view of a tile [rows, m, n]."""
    start = embedded.shape[1]
    for in_left, in_right in blocks:
        left, right = embedded[:, in_left], embedded[:, in_right]
        end = start + left.shape[1] * right.shape[1]
        yield left, right, tile[:, start:end].unflatten(1, (left.shape[1], right.shape[1]))
        start = end
