"""HoME: two levels of normalised experts behind gates of features, which none can leave (Wang et al., KDD 2025).

"HoME: Hierarchy of Multi-Gate Experts for Multi-Task Learning at Kuaishou" (arXiv 2408.05430): experts are normalised
and have Swish in ReLU's place, against experts that are 0 everywhere; each group of experts reads its input through
a gate of low rank; a task's own experts reach its output by a gate of their own too, against experts that nobody reads.
Numbers of experts as of a level of PLE (`net.ple.shared` and `own`). Differs: each task is a category of its own, so
that the second level has no experts between the shared ones and the task's; normalised over neurons, not over the
batch, which differs between workers; the inputs are this project's; a step is of one task's batch.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ncs.config import Net
from ncs.data_loading import Features
from ncs.models import ModelType
from ncs.nets.dropout import Dropout
from ncs.nets.experts import Experts, Gate, shared_and_tower
from ncs.nets.inputs import Inputs
from ncs.nets.layers import Tower
from ncs.nets.model import Model, NetSpec

RANK = 8
"""The rank of a feature gate's matrix."""


class NormalisedSwish(nn.Module):
    """Normalisation over an expert layer's neurons, then Swish and dropout."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.dropout = Dropout(net.dropout)

    def forward(self, input: Tensor) -> Tensor:
        """Outputs of a layer [..., neurons] -> [..., neurons]."""
        return cast(Tensor, self.dropout(F.silu(F.layer_norm(input, input.shape[-1:]))))


class FeatureGate(nn.Module):
    """Its input times a gate within (0, 2) for each column, 1 at the start: v * 2 sigmoid(B A v)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, RANK, bias=False), nn.Linear(RANK, width, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, input: Tensor) -> Tensor:
        """Input [batch, width] -> [batch, width]."""
        return input * (2 * torch.sigmoid(self.up(self.down(input))))


class Group(nn.Module):
    """Experts that read the same input, through one feature gate, and the self-gate that mixes them alone."""

    def __init__(self, count: int, width: int, spec: NetSpec) -> None:
        super().__init__()
        hidden, _ = shared_and_tower(spec.net.hidden)
        self.features = FeatureGate(width)
        self.experts = Experts(count, width, hidden, spec.net, NormalisedSwish(spec.net))
        self.self_gate = nn.Linear(width, count, bias=False)

    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """Input [batch, width] -> the experts [batch, count, out], and their own mixture [batch, out]."""
        experts = self.experts(self.features(input))
        scores = self.self_gate(input)
        weights = torch.softmax(scores, dim=1) if scores.shape[1] > 1 else torch.sigmoid(scores)
        return experts, torch.bmm(weights.unsqueeze(1), experts).squeeze(1)


class Level(nn.Module):
    """A group of all tasks on the shared input, a group of each task on its own; a gate a task mixes these two."""

    def __init__(self, shared: int, own: int, spec: NetSpec) -> None:
        super().__init__()
        conf = spec.net.ple
        self.shared = Group(conf.shared, shared, spec)
        self.own = nn.ModuleDict({task: Group(conf.own, own, spec) for task in spec.tasks})
        self.gates = nn.ModuleDict({task: Gate(own, conf.own + conf.shared) for task in spec.tasks})

    def forward(self, shared: Tensor, own: Tensor, task: str) -> Tensor:
        """The shared input and the task's [batch, width] -> the task's output [batch, out]."""
        experts, of_own = self.own[task](own)
        return cast(Tensor, self.gates[task](own, torch.cat([experts, self.shared(shared)[0]], dim=1)) + of_own)


class LowerLevel(Level):
    """The same, and a gate that mixes all experts for the shared output: each task's in order, then the shared ones."""

    def __init__(self, width: int, spec: NetSpec) -> None:
        super().__init__(width, width, spec)
        conf = spec.net.ple
        self.shared_gate = Gate(width, len(spec.tasks) * conf.own + conf.shared)

    def both(self, input: Tensor, task: str) -> tuple[Tensor, Tensor]:
        """Input [batch, width] -> the shared output and the task's, [batch, out] each."""
        common, of_common = self.shared(input)
        groups = {name: group(input) for name, group in self.own.items()}
        whole = torch.cat([*(experts for experts, _ in groups.values()), common], dim=1)
        experts, of_own = groups[task]
        own = self.gates[task](input, torch.cat([experts, common], dim=1)) + of_own
        return self.shared_gate(input, whole) + of_common, own


class HoME(Model):
    """Shared inputs, two levels of experts, a tower a task."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        hidden, tower = shared_and_tower(spec.net.hidden)
        width, out = spec.inputs.width, hidden[-1]
        self.inputs = Inputs(spec.inputs)
        self.lower, self.upper = LowerLevel(width, spec), Level(out, 2 * out, spec)
        self.towers = nn.ModuleDict({task: Tower(out, tower, spec.net) for task in spec.tasks})

    def logits(self, features: Features, task: str) -> Tensor:
        """The task's tower on its output of the upper level, which reads the task's and the shared one of the lower."""
        shared, own = self.lower.both(self.inputs(features), task)
        return cast(Tensor, self.towers[task](self.upper(shared, torch.cat([own, shared], dim=1), task)))


MODEL = ModelType(HoME)
