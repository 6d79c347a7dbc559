"""Single-task lottery tickets: iterative magnitude pruning of each task's own net, nothing shared.

Frankle and Carbin, ICLR 2019, with the rewinding of Frankle et al., arXiv:1903.01611: theta is the task's own net after
`prune.theta_epochs`. Beside SingleTask it shows the effect of pruning alone.
"""

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from ncs.config import Config
from ncs.data_loading import Features
from ncs.methods.search import find_masks
from ncs.models import ModelType
from ncs.nets.layers import Subnetwork
from ncs.nets.masked import MaskedNet
from ncs.nets.model import Group, Model, NetSpec
from ncs.training.loop import Trainer, train_groups


class LotteryTicket(Model):
    """A masked net for each task."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        self.groups = tuple(Group((task,), (task,)) for task in spec.tasks)
        self.nets = nn.ModuleDict({task: MaskedNet(spec.for_task(task)) for task in spec.tasks})

    def logits(self, features: Features, task: str) -> Tensor:
        """The task's own subnetwork."""
        return self._own(task).logits(features, task)

    def masks(self, task: str) -> Mapping[nn.Parameter, Tensor]:
        """The masks of the task's own net."""
        return self._own(task).masks(task)

    def subnetwork(self, task: str, member: int = 0) -> Subnetwork:
        """The subnetwork of the task's own net."""
        return self._own(task).subnetwork(task, member)

    def _own(self, task: str) -> MaskedNet:
        net = cast(MaskedNet, self.nets[task])
        net.task_masks = {task: self.task_masks[task]} if task in self.task_masks else {}
        return net


def train(net: LotteryTicket, trainer: Trainer, conf: Config) -> None:
    """Each task separately: its theta, its mask, its training from theta under the mask."""
    nets = {task: cast(MaskedNet, net.nets[task]) for task in net.tasks}
    # All searches first: the end of a search clears all checkpoints.
    searches = {task: find_masks(own, trainer, conf.prune) for task, own in nets.items()}
    for task, own in nets.items():
        own.start_from(searches[task].theta)
        own.task_masks = searches[task].masks
        train_groups(own, trainer, conf)
        net.task_masks[task] = own.task_masks[task]


MODEL = ModelType(LotteryTicket, train)
