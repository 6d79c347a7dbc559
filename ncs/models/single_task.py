"""SingleTask: a net for each task, nothing in common (paper Fig. 1a, the baseline of Table 2).

As in the paper: embedding, Kronecker cross, FC layers, sigmoid. With `net.interaction: dot` the cross is that of DLRM.
"""

from typing import cast

from torch import Tensor, nn

from ncs.data_loading import Features
from ncs.models import ModelType
from ncs.nets.inputs import Inputs
from ncs.nets.layers import Subnetwork, Tower
from ncs.nets.model import Group, Model, NetSpec


class SingleTask(Model):
    """A net for each task, trained separately."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        self.groups = tuple(Group((task,), (task,)) for task in spec.tasks)
        self.inputs = nn.ModuleDict({task: Inputs(spec.inputs) for task in spec.tasks})
        self.towers = nn.ModuleDict({task: Tower(spec.inputs.width, spec.net.hidden, spec.net) for task in spec.tasks})

    def logits(self, features: Features, task: str) -> Tensor:
        """The task's own net."""
        return self.towers[task](cast(Inputs, self.inputs[task]).lazy(features))

    def subnetwork(self, task: str, member: int = 0) -> Subnetwork:
        """The whole of the task's own net."""
        return cast(Tower, self.towers[task]).subnetwork(cast(Inputs, self.inputs[task]), member)


MODEL = ModelType(SingleTask)
