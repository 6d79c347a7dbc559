"""Parallel sub-networks of one size, all in one matrix product, and the gates that mix what they put out."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ParallelLinear(nn.Module):
    """`count` linear layers of one size side by side, on an input that they share or on one each.

    Weights [count * out, in] and biases [count * out] lie one layer after the other.
    """

    def __init__(self, count: int, before: int, after: int) -> None:
        super().__init__()
        self.count = count
        self.weight = nn.Parameter(torch.empty(count * after, before))
        self.bias = nn.Parameter(torch.zeros(count * after))  # one axis: the optimiser decays weights, not biases
        nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")

    def forward(self, input: Tensor) -> Tensor:
        """Input [batch, in] for all, or [batch, count, in] -> [batch, count, out]."""
        if input.ndim == 2:
            return F.linear(input, self.weight, self.bias).unflatten(1, (self.count, -1))
        weight = self.weight.unflatten(0, (self.count, -1)).transpose(1, 2)
        bias = self.bias.view(self.count, 1, -1)
        return torch.baddbmm(bias, input.transpose(0, 1), weight).transpose(0, 1)


class Experts(nn.Module):
    """`count` sub-networks of FC layers with ReLU, of the same widths."""

    def __init__(self, count: int, width: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ParallelLinear(count, *widths) for widths in pairwise([width, *hidden]))

    def forward(self, input: Tensor) -> Tensor:
        """Input [batch, width] for all, or [batch, count, width] -> [batch, count, last hidden width]."""
        for layer in self.layers:
            input = F.relu(layer(input))
        return input


class Gate(nn.Module):
    """A softmax over experts, linear in its input, without a bias."""

    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        self.scores = nn.Linear(width, experts, bias=False)

    def shares(self, input: Tensor) -> Tensor:
        """Input [batch, width] -> each expert's share [batch, experts]; a row sums to 1."""
        return torch.softmax(self.scores(input), dim=1)

    def forward(self, input: Tensor, experts: Tensor) -> Tensor:
        """Mix experts [batch, experts, out] by their shares -> [batch, out]."""
        return torch.bmm(self.shares(input).unsqueeze(1), experts).squeeze(1)


def shared_and_tower(hidden: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    """The FC widths parted: a sub-network's, and a task's tower's, the last one (none where there is one in all)."""
    return (hidden[:-1], hidden[-1:]) if len(hidden) > 1 else (hidden, [])
