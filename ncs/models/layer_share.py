"""LayerShare: the tasks share the embedding and have a tower each (paper Fig. 1b, section 2.1).

As in the paper, the tower is that of SingleTask, and the second one is extra.
"""

from typing import cast

from torch import Tensor, nn

from ncs.data_loading import Features
from ncs.models import ModelType
from ncs.nets.inputs import Inputs
from ncs.nets.layers import Subnetwork, Tower
from ncs.nets.model import Model, NetSpec


class LayerShare(Model):
    """Shared inputs, separate towers."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        self.inputs = Inputs(spec.inputs)
        self.towers = nn.ModuleDict({task: Tower(spec.inputs.width, spec.net.hidden, spec.net) for task in spec.tasks})

    def logits(self, features: Features, task: str) -> Tensor:
        """The task's tower on the shared inputs."""
        return self.towers[task](self.inputs.lazy(features))

    def subnetwork(self, task: str, member: int = 0) -> Subnetwork:
        """The task's tower on the shared inputs."""
        return cast(Tower, self.towers[task]).subnetwork(self.inputs, member)


MODEL = ModelType(LayerShare)
