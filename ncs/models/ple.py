"""PLE: experts of all tasks and of each task, separate and mixed by gates, in levels (Tang et al., RecSys 2020).

"Progressive Layered Extraction (PLE): A Novel Multi-Task Learning Model for Personalized Recommendations"; with one
level (`net.ple.levels`) it is the source's CGC. An expert of any level has the FC widths except the last, a tower the
last one. Differs: the inputs are this project's (embeddings and their cross); a step is of one task's batch, where
the source adds up the tasks' losses, each over its own samples, on one; no schedule of loss weights.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ncs.config import Net
from ncs.data_loading import Features
from ncs.models import ModelType
from ncs.nets.experts import Experts, Gate, shared_and_tower
from ncs.nets.inputs import Inputs
from ncs.nets.layers import Tower
from ncs.nets.model import Model, NetSpec


class Level(nn.Module):
    """Shared experts and each task's own; a task's gate mixes its own and the shared ones, in this order.

    But in the last level a shared gate mixes all experts: each task's in the tasks' order, then the shared ones.
    """

    def __init__(self, width: int, hidden: Sequence[int], tasks: Iterable[str], net: Net, last: bool) -> None:
        super().__init__()
        tasks, conf = list(tasks), net.ple
        self.shared = Experts(conf.shared, width, hidden, net)
        self.own = nn.ModuleDict({task: Experts(conf.own, width, hidden, net) for task in tasks})
        self.gates = nn.ModuleDict({task: Gate(width, conf.own + conf.shared) for task in tasks})
        self.shared_gate = None if last else Gate(width, len(tasks) * conf.own + conf.shared)

    def task_output(self, task: str, own: Tensor, shared: Tensor) -> Tensor:
        """The task's mixture [batch, out] from its own and the shared input [batch, width]."""
        return self.gates[task](own, torch.cat([self.own[task](own), self.shared(shared)], dim=1))

    def forward(self, own: Mapping[str, Tensor], shared: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Each task's mixture and the shared one, [batch, out] each: the inputs of the level above."""
        assert self.shared_gate is not None, "the last level mixes for tasks alone"
        common = self.shared(shared)
        by_task = {task: self.own[task](input) for task, input in own.items()}
        mixed = {
            task: self.gates[task](own[task], torch.cat([experts, common], dim=1)) for task, experts in by_task.items()
        }
        return mixed, self.shared_gate(shared, torch.cat([*by_task.values(), common], dim=1))


class PLE(Model):
    """Shared inputs, levels of experts, a tower a task."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        hidden, tower = shared_and_tower(spec.net.hidden)
        self.inputs = Inputs(spec.inputs)
        count, widths = spec.net.ple.levels, (spec.inputs.width, hidden[-1])
        self.levels = nn.ModuleList(
            Level(widths[min(n, 1)], hidden, spec.tasks, spec.net, last=n == count - 1) for n in range(count)
        )
        self.towers = nn.ModuleDict({task: Tower(hidden[-1], tower, spec.net) for task in spec.tasks})

    def logits(self, features: Features, task: str) -> Tensor:
        """The task's tower on its mixture of the last level."""
        shared = self.inputs(features)
        own = dict.fromkeys(self.tasks, shared)
        *lower, last = cast(Sequence[Level], self.levels)
        for level in lower:
            own, shared = level(own, shared)
        return self.towers[task](last.task_output(task, own[task], shared))


MODEL = ModelType(PLE)
