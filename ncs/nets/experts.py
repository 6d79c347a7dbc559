"""Experts of equal size, computed in one matrix product, and the gates that mix their outputs."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ncs.config import Net
from ncs.nets.layers import Activation


class ParallelLinear(nn.Module):
    """`count` linear layers of equal size, on a shared input or on an input each.

    Weights [count * out, in] and biases [count * out] are those of the layers, concatenated.
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
    """`count` sub-networks of FC layers with ReLU, or another activation, of the same widths."""

    def __init__(
        self, count: int, width: int, hidden: Sequence[int], net: Net, activation: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.activation = activation or Activation(net)
        self.layers = nn.ModuleList(ParallelLinear(count, *widths) for widths in pairwise([width, *hidden]))

    def forward(self, input: Tensor) -> Tensor:
        """Input [batch, width] for all, or [batch, count, width] -> [batch, count, last hidden width]."""
        for layer in self.layers:
            input = self.activation(layer(input))
        return input


class Gate(nn.Module):
    """A softmax over experts, linear in its input, without a bias."""

    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        self.scores = nn.Linear(width, experts, bias=False)

    def weights(self, input: Tensor) -> Tensor:
        """Input [batch, width] -> the weight of each expert [batch, experts]; a row sums to 1."""
        return torch.softmax(self.scores(input), dim=1)

    def forward(self, input: Tensor, experts: Tensor) -> Tensor:
        """The weighted sum of experts [batch, experts, out] -> [batch, out]."""
        return torch.bmm(self.weights(input).unsqueeze(1), experts).squeeze(1)


def shared_and_tower(hidden: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    """The FC widths, split: those of a sub-network, and the last one for a task's tower, if there are several."""
    return (hidden[:-1], hidden[-1:]) if len(hidden) > 1 else (hidden, [])
