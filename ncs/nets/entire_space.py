"""Entire-space models: CVR is trained on all impressions, through products with the click probability.

The conversions of the sources are 0 or 1, the CVR label here is continuous: instead of the cross entropy of pCTR * pCVR
against click and conversion, the loss is CVR's own against the watched share of the impression, 0 where it was not
clicked. CVR is trained on CTR's samples only.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ncs.data_loading import Batch, Features
from ncs.nets.inputs import Inputs
from ncs.nets.layers import Tower
from ncs.nets.members import repeated_labels
from ncs.nets.model import Group, Model, NetSpec, focal_loss, logit_loss
from ncs.tasks import CTR, CVR, Task

_EPSILON = torch.finfo(torch.float32).eps
"""Probabilities in a cross entropy keep this distance from 0 and 1."""


@dataclass(frozen=True)
class Outcome:
    """The labels of a batch: `known` bool [rows]; the others float32 [known rows].

    A clicked row without a CVR label is not known.
    """

    known: Tensor
    clicked: Tensor
    cvr: Tensor
    """0 where not clicked."""

    @classmethod
    def of(cls, labels: Mapping[str, Tensor]) -> "Outcome":
        """From the labels of CTR's samples."""
        clicked, cvr = labels[CTR], labels[CVR]
        known = (clicked == 0) | ~cvr.isnan()
        clicked, cvr = clicked[known], cvr[known]
        return cls(known, clicked, torch.where(clicked == 0, 0.0, cvr))


class EntireSpace(Model):
    """Shared inputs and a tower for each task; CVR is trained on CTR's samples, further tasks on their own."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        self.groups = (Group(tuple(spec.tasks), tuple(task for task in spec.tasks if task != CVR)),)
        self.inputs = Inputs(spec.inputs)
        self.towers = nn.ModuleDict({task: self.tower() for task in spec.tasks if task != CVR})

    def tower(self) -> Tower:
        """A new tower on the inputs."""
        return Tower(self.spec.inputs.width, self.spec.net.hidden, self.spec.net)

    def logits(self, features: Features, task: str) -> Tensor:
        """The task's tower on the shared inputs."""
        return self.towers[task](self.inputs(features))

    def loss(self, batch: Batch, task: str) -> Tensor:
        """For CTR the sum of its loss and that of what follows a click; for another task its own loss."""
        if task != CTR:
            return super().loss(batch, task)
        labels = repeated_labels(batch.labels, self.members)
        input = self.inputs(batch.features)  # once: the optimiser sees the last lookup of the embedding only
        click = self.towers[CTR](input)
        after = self.loss_after(torch.sigmoid(click), input, Outcome.of(labels))
        return (logit_loss(self.tasks[CTR], click, labels[CTR]) + after) / self.members

    def loss_after(self, click: Tensor, input: Tensor, outcome: Outcome) -> Tensor:
        """The loss of what follows a click, summed over the known rows, from pCTR [rows] and input [rows, width].

        Other rows are dropped before the loss: a NaN label makes a gradient NaN even if it is multiplied by 0.
        """
        raise NotImplementedError


def probability_loss(task: Task, predicted: Tensor, labels: Tensor) -> Tensor:
    """The task's weighted loss, summed over rows, of probabilities [rows] that are not sigmoids of logits."""
    if task.loss == "cross_entropy":
        inside = predicted.clamp(_EPSILON, 1 - _EPSILON)
        with torch.autocast(inside.device.type, enabled=False):  # which refuses this loss on a GPU, float32 or not
            return task.weight * F.binary_cross_entropy(inside, labels, reduction="sum")
    if task.loss == "focal":
        return task.weight * focal_loss(torch.logit(predicted, eps=_EPSILON), labels).sum()
    return task.weight * F.mse_loss(predicted, labels, reduction="sum")
