"""AdaTT: every task's experts at every level, mixed for each task by a gate and by weights (Li et al., KDD 2023).

"AdaTT: Adaptive Task-to-Task Fusion Network for Multitask Learning in Recommendations", in the form without shared
experts (AdaTT-sp): a task's output of a level is a softmax mixture of the experts of all tasks, plus a weighted sum of
its own ones, so that it learns from others without giving up what it has. `net.ple.own` experts a task, of
`net.ple.levels` levels. An expert has the FC widths except the last, a tower the last one. Differs: the inputs are this
project's; the weights of a task's own experts start as their mean; a step is of one task's batch.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ncs.data_loading import Features
from ncs.models import ModelType
from ncs.nets.experts import Experts, Gate, shared_and_tower
from ncs.nets.inputs import Inputs
from ncs.nets.layers import Tower
from ncs.nets.model import Model, NetSpec


class Level(nn.Module):
    """Experts of each task, and each task's fusion of them all: a gate over all, weights of its own."""

    def __init__(self, width: int, hidden: Sequence[int], spec: NetSpec) -> None:
        super().__init__()
        count = spec.net.ple.own
        self.experts = nn.ModuleDict({task: Experts(count, width, hidden, spec.net) for task in spec.tasks})
        self.gates = nn.ModuleDict({task: Gate(width, len(spec.tasks) * count) for task in spec.tasks})
        self.native = nn.ModuleDict({task: nn.Linear(count, 1, bias=False) for task in spec.tasks})
        for weights in self.native.values():
            nn.init.constant_(cast(nn.Linear, weights).weight, 1 / count)

    def forward(self, inputs: Mapping[str, Tensor], tasks: Sequence[str]) -> dict[str, Tensor]:
        """Each task's input [batch, width] -> the output of some tasks, [batch, out] each."""
        experts = {task: self.experts[task](input) for task, input in inputs.items()}
        whole = torch.cat(list(experts.values()), dim=1)
        own = {task: self.native[task](experts[task].transpose(1, 2)).squeeze(2) for task in tasks}
        return {task: self.gates[task](inputs[task], whole) + own[task] for task in tasks}


class AdaTT(Model):
    """Shared inputs, levels of experts, a tower a task."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        hidden, tower = shared_and_tower(spec.net.hidden)
        widths = [spec.inputs.width, *[hidden[-1]] * (spec.net.ple.levels - 1)]
        self.inputs = Inputs(spec.inputs)
        self.levels = nn.ModuleList(Level(width, hidden, spec) for width in widths)
        self.towers = nn.ModuleDict({task: Tower(hidden[-1], tower, spec.net) for task in spec.tasks})

    def logits(self, features: Features, task: str) -> Tensor:
        """The task's tower on its output of the last level."""
        outputs = dict.fromkeys(self.tasks, self.inputs(features))
        *lower, last = cast(Sequence[Level], self.levels)
        for level in lower:
            outputs = level(outputs, list(self.tasks))
        return cast(Tensor, self.towers[task](last(outputs, [task])[task]))


MODEL = ModelType(AdaTT)
