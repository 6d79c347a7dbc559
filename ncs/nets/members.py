"""Members: several predictions of one net, which share its weights and differ in how they scale what layers read.

BatchEnsemble (Wen et al., ICLR 2020) and TabM (Gorishniy et al., ICLR 2025, arXiv 2410.24210): member m reads column c
of a layer's input times a number r_mc of its own, so that it has the weights w_oc r_mc. All members are trained on
every row, each by its own loss, and their predictions are averaged. They travel as rows: a batch of `rows` is
[members * rows, width] behind the inputs, member by member, so that layers in between need not know of them.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class MemberScales(nn.Module):
    """A factor for each column of an input, of each member its own."""

    def __init__(self, members: int, width: int, signs: bool = False) -> None:
        """Factors start as 1, or as random `signs`, by which members differ from the first step on."""
        super().__init__()
        self.members = members
        start = torch.randint(2, (members * width,)).float() * 2 - 1 if signs else torch.ones(members * width)
        # One axis: the optimiser decays weights of two axes, and a factor of 0 cuts its column off.
        self.factors = nn.Parameter(start)

    def member(self, number: int) -> Tensor:
        """The factors of one member [width]."""
        return self.factors.view(self.members, -1)[number]

    def forward(self, input: Tensor) -> Tensor:
        """Input [members * rows, width] -> the same shape."""
        shape = self.members, len(input) // self.members, input.shape[1]  # no -1: a batch may be empty
        return (input.view(shape) * self.factors.view(self.members, 1, -1)).flatten(0, 1)


def repeated(values: Tensor, members: int) -> Tensor:
    """Values of rows [rows, ...] -> for each member again, [members * rows, ...]."""
    return values if members == 1 else values.repeat(members, *[1] * (values.ndim - 1))


def repeated_labels(labels: Mapping[str, Tensor], members: int) -> dict[str, Tensor]:
    """The labels [rows] of each task, for each member again."""
    return {task: repeated(values, members) for task, values in labels.items()}


def averaged(values: Tensor, members: int) -> Tensor:
    """Values of members [members * rows] -> their means [rows]."""
    return values if members == 1 else values.view(members, len(values) // members).mean(0)
