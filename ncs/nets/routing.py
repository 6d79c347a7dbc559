"""Sub-network routing: connections between sub-networks that gates open and close (Ma et al., AAAI 2019).

"SNR: Sub-Network Routing for Flexible Parameter Sharing in Multi-Task Learning". The coding variables z are hard
concrete gates (Louizos et al., ICLR 2018, "Learning Sparse Neural Networks through L0 Regularization"), one a
connection, the same for every row.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn

from ncs.data_loading import Batch, Features
from ncs.nets.experts import Experts, shared_and_tower
from ncs.nets.inputs import Inputs
from ncs.nets.layers import Tower
from ncs.nets.model import Model, NetSpec

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1
"""Temperature and stretch of the gates, as Louizos et al. have them."""


class HardConcrete(nn.Module):
    """Gates within [0, 1] that can be 0 and 1 exactly: drawn while training, their deterministic form otherwise.

    Adam moves a weight by about the learning rate in a step, so a gate needs thousands of steps from the middle to an
    end. With `rate` it learns so many times as fast: log alpha is `rate` times the weight that is trained.
    """

    def __init__(self, targets: int, sources: int, rate: float = 1.0) -> None:
        super().__init__()
        self.shape, self.rate = (targets, sources), rate
        # One axis: the optimiser decays weights of two axes, and decay would keep gates half open.
        self.log_alpha = nn.Parameter(torch.empty(targets * sources))
        nn.init.normal_(self.log_alpha, std=0.01 / rate)  # as often open as closed

    def forward(self) -> Tensor:
        """The gate of each connection [targets, sources]; the number of random draws does not depend on the batch."""
        log_alpha = self.rate * self.log_alpha
        if self.training:
            noise = torch.logit(torch.rand_like(log_alpha), eps=1e-6)
            open_ = torch.sigmoid((noise + log_alpha) / BETA)
        else:
            open_ = torch.sigmoid(log_alpha)
        return (open_ * (ZETA - GAMMA) + GAMMA).clamp(0, 1).view(self.shape)

    def penalty(self) -> Tensor:
        """The expected number of gates that are not 0 (a scalar)."""
        return torch.sigmoid(self.rate * self.log_alpha - BETA * math.log(-GAMMA / ZETA)).sum()


class Routing(nn.Module):
    """The inputs of a level from the outputs of the one below: u_j = sum over i of z_ji W_ji v_i, or of z_ji v_i."""

    def __init__(self, targets: int, sources: int, width: int, transform: bool, rate: float) -> None:
        super().__init__()
        self.gates = HardConcrete(targets, sources, rate)
        self.width = width
        self.weight = nn.Parameter(torch.empty(targets * width, sources * width)) if transform else None
        if self.weight is not None:  # the blocks W_ji of [targets, sources], each [width, width]
            nn.init.kaiming_uniform_(self.weight, nonlinearity="relu")

    def forward(self, input: Tensor) -> Tensor:
        """Input [batch, sources, width] -> [batch, targets, width]."""
        z = self.gates()
        if self.weight is None:
            return z @ input
        blocks = z.repeat_interleave(self.width, 0).repeat_interleave(self.width, 1)
        return (input.flatten(1) @ (self.weight * blocks).T).unflatten(1, (-1, self.width))


class RoutedNet(Model):
    """Two levels of sub-networks on shared inputs; a task's tower reads the upper level through gates of its own."""

    def __init__(self, spec: NetSpec, transform: bool) -> None:
        super().__init__(spec)
        count, rate = spec.net.snr.subnets, spec.net.snr.rate
        hidden, tower = shared_and_tower(spec.net.hidden)
        width = hidden[-1]
        self.inputs = Inputs(spec.inputs)
        self.lower = Experts(count, spec.inputs.width, hidden, spec.net)
        self.between = Routing(count, count, width, transform, rate)
        self.upper = Experts(count, width, hidden, spec.net)
        self.to_task = nn.ModuleDict({task: Routing(1, count, width, transform, rate) for task in spec.tasks})
        self.towers = nn.ModuleDict({task: Tower(width, tower, spec.net) for task in spec.tasks})

    def logits(self, features: Features, task: str) -> Tensor:
        """The task's tower on the gated outputs of the upper level."""
        upper = self.upper(self.between(self.lower(self.inputs(features))))
        return self.towers[task](self.to_task[task](upper).squeeze(1))

    def loss(self, batch: Batch, task: str) -> Tensor:
        """The task's loss, and for each row the penalty of the gates that the task uses."""
        to_task = cast(Routing, self.to_task[task])
        open_ = self.between.gates.penalty() + to_task.gates.penalty()
        return super().loss(batch, task) + self.spec.net.snr.l0 * batch.features.rows * open_
