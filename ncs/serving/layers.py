"""The layers of a served net, with buffers instead of parameters: nothing requires gradients.

The first layer has two equivalent forms. `AnyRows` is a sum of matrix products, one for the base (vectors and numbers)
and one for each crossed field: the crosses of a batch are never in memory all at once, which would cost more than the
multiplications. `OneRequest` is for rows that agree in the left vectors of all crosses, the candidates of one user: a
cross is linear in its left side, so that the user's vectors are folded into the weights once, and rows need no crosses.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ncs.kinds.layout import NO_ID
from ncs.nets.crosses import DotProducts, KroneckerProducts
from ncs.nets.inputs import InputSpec
from ncs.nets.layers import Layer
from ncs.serving.compact import read_columns


class Linear(nn.Module):
    """An FC layer."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.register_buffer("weight", layer.weight.detach().clone(memory_format=torch.contiguous_format))
        self.register_buffer("bias", layer.bias.detach().clone())
        self.weight: Tensor
        self.bias: Tensor

    def forward(self, input: Tensor) -> Tensor:
        """Input [batch, in] -> [batch, out]."""
        return F.linear(input, self.weight, self.bias)


class KnownIds(nn.Module):
    """Ids outside the vocabulary as 0, unknown; in columns of lists those below 0 are padding."""

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        lowest = [NO_ID if slot.is_list else 0 for slot in spec.layout.ids for _ in range(slot.length)]
        self.register_buffer("sizes", torch.tensor(spec.size_of_column, dtype=torch.int64))
        self.register_buffer("lowest", torch.tensor(lowest, dtype=torch.int64))
        self.sizes: Tensor
        self.lowest: Tensor

    def forward(self, ids: Tensor) -> Tensor:
        """Ids [batch, columns] -> ids of the same shape."""
        return torch.where(ids < self.sizes, ids, 0).maximum(self.lowest)


class Columns(nn.Module):
    """Some columns of a matrix, in their order; as a slice if they are contiguous: onnxruntime gathers slowly."""

    def __init__(self, columns: Tensor) -> None:
        super().__init__()
        start, count = int(columns[0]), len(columns)
        self.slice = slice(start, start + count) if torch.equal(columns, torch.arange(start, start + count)) else None
        self.register_buffer("columns", columns if self.slice is None else None)
        self.columns: Tensor

    def forward(self, matrix: Tensor) -> Tensor:
        """Matrix [rows, all columns] -> [rows, columns]."""
        return matrix.index_select(1, self.columns) if self.slice is None else matrix[:, self.slice]


class Block(NamedTuple):
    """Products of two blocks of the vectors' columns, [m] and [n], and the weights that read them [out, m, n]."""

    left: Tensor
    right: Tensor
    weight: Tensor


class Products(nn.Module):
    """A term of the first layer: the products of a block, of columns that some kept connection reads."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        left, right, weight = block
        in_left, in_right = read_columns(weight.transpose(1, 2).flatten(0, 1)), read_columns(weight.flatten(0, 1))
        self.left, self.right = Columns(left[in_left]), Columns(right[in_right])
        self.register_buffer("weight", weight.detach()[:, in_left][:, :, in_right].flatten(1).T.contiguous())
        self.weight: Tensor

    def forward(self, base: Tensor, total: Tensor) -> Tensor:
        """Base [batch, base width], the sum of other terms [batch, out] -> the sum with this term."""
        products = self.left(base).unsqueeze(2) * self.right(base).unsqueeze(1)
        return torch.addmm(total, products.flatten(1), self.weight)


class Pairs(nn.Module):
    """A term of the first layer: the products that some kept connection reads, of all blocks, where these are few."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        super().__init__()
        read = [read_columns(block.weight.flatten(1)).view(block.weight.shape[1:]) for block in blocks]
        at = [kept.nonzero(as_tuple=True) for kept in read]
        self.register_buffer("left", torch.cat([block.left[left] for block, (left, _) in zip(blocks, at, strict=True)]))
        self.register_buffer(
            "right", torch.cat([block.right[right] for block, (_, right) in zip(blocks, at, strict=True)])
        )
        weights = [block.weight.detach()[:, kept] for block, kept in zip(blocks, read, strict=True)]
        self.register_buffer("weight", torch.cat(weights, 1).T.contiguous())
        self.left: Tensor
        self.right: Tensor
        self.weight: Tensor

    @staticmethod
    def pay(blocks: Sequence[Block]) -> bool:
        """Whether at most half of the products are read."""
        read = sum(int(read_columns(block.weight.flatten(1)).sum()) for block in blocks)
        return 0 < 2 * read <= sum(block.weight[0].numel() for block in blocks)

    def forward(self, base: Tensor, total: Tensor) -> Tensor:
        """As `Products`. Rows of a transposed matrix are picked, for onnxruntime picks columns slowly."""
        columns = base.transpose(0, 1).contiguous()
        products = columns.index_select(0, self.left) * columns.index_select(0, self.right)
        return torch.addmm(total, products.transpose(0, 1), self.weight)


class DotTerm(nn.Module):
    """A term of the first layer: dot products of pairs of vectors that some kept connection reads."""

    def __init__(self, cross: DotProducts, spec: InputSpec, weight: Tensor) -> None:
        super().__init__()
        read = read_columns(weight)
        self.vectors, self.width = len(spec.layout.vectors), spec.embedding
        self.register_buffer("pairs", (cross.left * self.vectors + cross.right)[read])
        self.register_buffer("weight", weight.detach()[:, read].T.contiguous())
        self.pairs: Tensor
        self.weight: Tensor

    def forward(self, base: Tensor, total: Tensor) -> Tensor:
        """As `Products`."""
        rows = base[:, : self.vectors * self.width].unflatten(1, (self.vectors, self.width))
        dots = torch.bmm(rows, rows.transpose(1, 2)).flatten(1)
        return torch.addmm(total, dots.index_select(1, self.pairs), self.weight)


_Term = Products | Pairs | DotTerm


class AnyRows(nn.Module):
    """The first layer for any rows."""

    def __init__(self, first: Layer, cross: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.first = Linear(Layer(first.weight[:, : spec.base], first.bias))
        crossed = first.weight[:, spec.base :]
        terms: list[_Term] = []
        if isinstance(cross, KroneckerProducts):
            grids = [block for block in blocks(cross, spec.embedding, crossed) if block.weight.any()]
            terms = [Pairs(grids)] if Pairs.pay(grids) else [Products(block) for block in grids]
        elif crossed.any():
            assert isinstance(cross, DotProducts)
            terms = [DotTerm(cross, spec, crossed)]
        self.terms = nn.ModuleList(terms)

    def forward(self, base: Tensor) -> Tensor:
        """Vectors and numbers [batch, base width] -> [batch, out], before the ReLU."""
        output: Tensor = self.first(base)
        for term in self.terms:
            output = term(base, output)
        return output

    def shape(self) -> tuple[int, int]:
        """The number of inputs that are computed, and of neurons."""
        neurons, inputs = self.first.weight.shape
        return inputs + sum(term.weight.shape[0] for term in cast(Sequence[_Term], self.terms)), neurons


class OneRequest(nn.Module):
    """The first layer for rows that agree in the vectors of the request, the left ones of all crosses."""

    def __init__(self, first: Layer, cross: KroneckerProducts, spec: InputSpec) -> None:
        super().__init__()
        width, neurons = spec.embedding, len(first.bias)
        request = vector_columns(request_vectors(cross), width)
        rest = torch.arange(spec.base)
        rest = rest[~torch.isin(rest, request)]
        weight = first.weight.detach()
        # One more column of the rest: the request's term of the biases.
        crossed = torch.zeros(len(request), len(rest) + 1, neurons)
        crossed[:, -1] = weight[:, request].T
        for block in blocks(cross, width, weight[:, spec.base :]):
            rows, columns = torch.searchsorted(request, block.left), torch.searchsorted(rest, block.right)
            at = (rows.unsqueeze(1), columns)
            crossed.index_put_(at, block.weight.permute(1, 2, 0), accumulate=True)  # a pair may be named twice
        self.inputs, self.neurons = len(rest), neurons
        self.request, self.rest = Columns(request), Columns(rest)
        self.register_buffer("crossed", crossed.flatten(1))
        self.register_buffer("weight", torch.cat([weight[:, rest].T, first.bias.detach().unsqueeze(0)]).flatten())
        self.crossed: Tensor
        self.weight: Tensor

    def forward(self, base: Tensor) -> Tensor:
        """As `AnyRows`."""
        request = self.request(base[:1]).sum(0, keepdim=True)  # of no rows: zeros
        folded = torch.addmm(self.weight, request, self.crossed).view(-1, self.neurons)
        weight, bias = folded.split([len(folded) - 1, 1])
        return torch.addmm(bias, self.rest(base), weight)


def request_vectors(cross: nn.Module) -> list[int]:
    """The left vectors of all crosses; none if one of them is a right one too, and none for dot products."""
    grids = cross.blocks if isinstance(cross, KroneckerProducts) else []
    left, right = ({vector for grid in grids for vector in grid[side]} for side in (0, 1))
    return [] if left & right else sorted(left)


def blocks(cross: KroneckerProducts, width: int, weight: Tensor) -> Iterator[Block]:
    """The crosses' weights in the first layer [out, products], a block for each left vector of each grid."""
    start = 0
    for lefts, rights in cross.blocks:
        right = vector_columns(rights, width)
        for vector in lefts:
            left = vector_columns([vector], width)
            end = start + len(left) * len(right)
            yield Block(left, right, weight[:, start:end].unflatten(1, (len(left), len(right))))
            start = end


def vector_columns(vectors: Sequence[int], width: int) -> Tensor:
    """The columns of some vectors, by their positions."""
    return torch.cat([torch.arange(vector * width, (vector + 1) * width) for vector in vectors])
