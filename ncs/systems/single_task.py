"""SingleTask: a net for each task, nothing in common (paper Fig. 1a, the baseline of Table 2).

As in the paper: embedding, Kronecker cross, FC layers, sigmoid.
"""

from typing import ClassVar

from torch import Tensor, nn

from ncs.nets.inputs import Inputs
from ncs.nets.layers import Tower
from ncs.nets.system import NetSpec, System
from ncs.tasks import TASKS


class SingleTask(System):
    """Two nets, trained and chosen apart."""

    groups: ClassVar = tuple((task,) for task in TASKS)

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.inputs = nn.ModuleDict({task: Inputs(spec.inputs) for task in TASKS})
        self.towers = nn.ModuleDict({task: Tower(spec.inputs.width, spec.hidden) for task in TASKS})

    def logits(self, ids: Tensor, task: str) -> Tensor:
        """The task's own net."""
        return self.towers[task](self.inputs[task](ids))


build = SingleTask
