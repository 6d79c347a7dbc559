"""STEM: embeddings that all tasks share and embeddings of each task's own (Su et al., AAAI 2024, arXiv 2308.13537).

"STEM: Unleashing the Power of Embeddings in Multi-Task Recommendation": shared experts read the shared embeddings, a
task's experts its own ones. A task's gate mixes the experts of all tasks, but its loss reaches the shared and its own
part alone: what belongs to another task is read through a stop-gradient. Numbers of experts as of a level of PLE
(`net.ple.shared` and `own`). Control: with `share.masks: none` every task trains all of it, in a net of the same size,
which has then several embeddings of each id as in Guo et al., ICML 2024 (arXiv 2310.04400). Differs: the inputs are
this project's, all of their weights (pooling, projections) as private or shared as the embeddings; a step is of one
task's batch.
"""

from typing import cast

import torch
from torch import Tensor, nn

from ncs.data_loading import Features
from ncs.models import ModelType
from ncs.nets.experts import Experts, Gate, shared_and_tower
from ncs.nets.inputs import Inputs
from ncs.nets.layers import Tower
from ncs.nets.model import Model, NetSpec


class STEM(Model):
    """Shared inputs with experts on them, each task's own inputs with experts on them, a gate and a tower a task."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        hidden, tower = shared_and_tower(spec.net.hidden)
        width, conf, tasks = spec.inputs.width, spec.net.ple, list(spec.tasks)
        self.shared_inputs = Inputs(spec.inputs)
        self.own_inputs = nn.ModuleDict({task: Inputs(spec.inputs) for task in tasks})
        self.shared = Experts(conf.shared, width, hidden, spec.net)
        self.own = nn.ModuleDict({task: Experts(conf.own, width, hidden, spec.net) for task in tasks})
        self.gates = nn.ModuleDict({task: Gate(width, len(tasks) * conf.own + conf.shared) for task in tasks})
        self.towers = nn.ModuleDict({task: Tower(hidden[-1], tower, spec.net) for task in tasks})

    def logits(self, features: Features, task: str) -> Tensor:
        """The task's tower on its mixture of all experts: each task's in the tasks' order, then the shared ones."""
        shared, own = self.shared_inputs(features), self.own_inputs[task](features)
        read = self._private if self.spec.share.masks == "none" else self._constant
        experts = [self.own[task](own) if other == task else read(features, other) for other in self.tasks]
        mixed = self.gates[task](own + shared, torch.cat([*experts, self.shared(shared)], dim=1))
        return cast(Tensor, self.towers[task](mixed))

    def _private(self, features: Features, task: str) -> Tensor:
        """A task's experts on its own inputs [batch, own, out]."""
        return cast(Tensor, self.own[task](self.own_inputs[task](features)))

    @torch.no_grad()
    def _constant(self, features: Features, task: str) -> Tensor:
        """The same of another task: constants here, so that no row of its tables is updated."""
        return self._private(features, task)


MODEL = ModelType(STEM)
