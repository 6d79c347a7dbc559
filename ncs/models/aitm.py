"""AITM: each task adds to what the task before it knows (Xi et al., KDD 2021).

"Modeling the Sequential Dependence among Audience Multi-step Conversions with Multi-task Learning in Targeted Display
Advertising": a tower a task; a task's representation is an attention over its tower's output and what is transferred
from the task before. The order is that of `tasks`: from the click to what follows it. Differs: no calibrator, which
keeps p(task) below p(task before) over all impressions: CVR is conditional on the click here, and no lower; the inputs
are this project's; a step is of one task's batch, and its loss reaches the towers of the tasks before it.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ncs.data_loading import Features
from ncs.models import ModelType
from ncs.nets.inputs import Inputs
from ncs.nets.layers import Activation, MaskedLinear, hidden_layers, mlp_forward, output_layer
from ncs.nets.model import Model, NetSpec


class Transfer(nn.Module):
    """Adaptive information transfer: attention over two vectors, the one of the task before and the task's own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.passed = nn.Linear(width, width)
        self.value, self.key, self.query = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.scale = math.sqrt(width)

    def forward(self, before: Tensor, own: Tensor) -> Tensor:
        """What the task before has and the task's own [batch, width] -> [batch, width]."""
        both = torch.stack([F.relu(self.passed(before)), own], 1)
        scores = (self.key(both) * self.query(both)).sum(2) / self.scale
        weights: Tensor = torch.softmax(scores, dim=1)
        return torch.bmm(weights.unsqueeze(1), self.value(both)).squeeze(1)


class AITM(Model):
    """Shared inputs, hidden layers and an output layer a task, a transfer from each task to the next."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        hidden, members, (_, *later) = spec.net.hidden, self.members, spec.tasks
        self.inputs = Inputs(spec.inputs)
        self.bodies = nn.ModuleDict(
            {task: hidden_layers(spec.inputs.width, hidden, members=members) for task in spec.tasks}
        )
        self.transfers = nn.ModuleDict({task: Transfer(hidden[-1]) for task in later})
        self.towers = nn.ModuleDict({task: output_layer(hidden[-1], members) for task in spec.tasks})
        self.activation = Activation(spec.net)

    def logits(self, features: Features, task: str) -> Tensor:
        """The task's output layer on what the tasks up to it know."""
        input, known = self.inputs.lazy(features), None
        for name in self.tasks:
            own = mlp_forward(cast(nn.ModuleList, self.bodies[name]), self.activation, input)
            known = own if known is None else self.transfers[name](known, own)
            if name == task:
                break
        output = cast(MaskedLinear, self.towers[task])
        return output(known).squeeze(1).to(output.weight.dtype)


MODEL = ModelType(AITM)
