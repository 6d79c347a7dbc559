"""MMoE: experts that all tasks share, a softmax gate a task that mixes them (Ma et al., KDD 2018).

"Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts": an expert has the FC widths
except the last, a tower the last one. Differs: the inputs are this project's (embeddings and their cross), gates
read them as experts do; a step is of one task's batch, where the source adds up the tasks' losses on one.
"""

from torch import Tensor, nn

from ncs.data_loading import Features
from ncs.models import ModelType
from ncs.nets.experts import Experts, Gate, shared_and_tower
from ncs.nets.inputs import Inputs
from ncs.nets.layers import Tower
from ncs.nets.model import Model, NetSpec


class MMoE(Model):
    """Shared inputs and experts; a gate and a tower a task."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        width, count = spec.inputs.width, spec.net.experts
        shared, tower = shared_and_tower(spec.net.hidden)
        self.inputs = Inputs(spec.inputs)
        self.experts = Experts(count, width, shared, spec.net)
        self.gates = nn.ModuleDict({task: Gate(width, count) for task in spec.tasks})
        self.towers = nn.ModuleDict({task: Tower(shared[-1], tower, spec.net) for task in spec.tasks})

    def logits(self, features: Features, task: str) -> Tensor:
        """The task's tower on its mixture of the experts."""
        input = self.inputs(features)
        return self.towers[task](self.gates[task](input, self.experts(input)))


MODEL = ModelType(MMoE)
