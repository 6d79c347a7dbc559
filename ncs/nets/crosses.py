"""Feature crosses: products of the fields' embeddings (paper section 2.1, Fig. 1a).

All of a cross is one product of two blocks of embeddings, never a loop over pairs of fields.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx


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

    Pairs are gathered into grids, every field of one block with every field of another: `user*video` is one grid. The
    products of a grid are those of its two blocks, each block's embeddings behind one another.
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
    """Pairs as grids: left fields that are crossed with the same right fields, and those."""
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
    """Its gradients as products of matrices, a row vector on the left: many times faster than as sums of products."""

    @staticmethod
    def forward(ctx: FunctionCtx, left: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(left, right)
        return _outer(left, right)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        left, right = ctx.saved_tensors  # type: ignore[attr-defined]
        whole = gradient.unflatten(1, (left.shape[1], right.shape[1]))
        to_left = torch.bmm(right.unsqueeze(1), whole.transpose(1, 2)).squeeze(1)
        to_right = torch.bmm(left.unsqueeze(1), whole).squeeze(1)
        return to_left, to_right
