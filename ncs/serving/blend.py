"""The served form of a model's task: a net, trees, or the weighted mean of both."""

from typing import Any

import torch
from torch import Tensor, nn

from ncs.errors import ExportError
from ncs.models.blend import Blend
from ncs.models.gbdt import Gbdt
from ncs.nets.model import Model
from ncs.serving.model import ServingNet
from ncs.serving.trees import ServingTrees


class ServingBlend(nn.Module):
    """A task of a trained `Blend`."""

    def __init__(self, net: ServingNet, trees: ServingTrees, share: float) -> None:
        super().__init__()
        self.net, self.trees, self.share = net, trees, share
        self.layout, self.request = net.layout, net.request

    def forward(self, ids: Tensor, numbers: Tensor | None = None) -> Tensor:
        """Ids int64 and numbers float32 [batch, columns] -> the task's prediction float32 [batch], within [0, 1]."""
        return torch.lerp(self.trees(ids, numbers), self.net(ids, numbers), self.share)

    def sizes(self) -> dict[str, Any]:
        """For the card: the net's, and the leaves of the trees among the parameters."""
        sizes = self.net.sizes()
        for when in ("before", "after"):
            sizes["parameters"][when] += self.trees.leaves
        return sizes

    def request_macs(self) -> dict[str, int] | None:
        """The net's."""
        return self.net.request_macs()

    def bytes(self) -> int:
        """The size of both in bytes."""
        return self.net.bytes() + self.trees.bytes()


Serving = ServingNet | ServingTrees | ServingBlend


def serving(model: Model, task: str) -> Serving:
    """The program of a task of a trained model. Raises ExportError if it is neither inputs and FC layers nor trees."""
    if isinstance(model, Gbdt):
        return ServingTrees(model, task)
    if isinstance(model, Blend):
        share = float(model.shares[list(model.tasks).index(task)])
        return ServingBlend(_net(model.net, task), ServingTrees(model.trees, task), share)
    return _net(model, task)


def _net(model: Model, task: str) -> ServingNet:
    members = [model.subnetwork(task, member) for member in range(model.members)]
    try:
        return ServingNet(model.spec, *members)
    except ExportError as err:
        raise ExportError(f"{task}: {err}") from None
