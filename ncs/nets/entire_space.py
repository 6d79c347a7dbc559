"""Models that learn what follows a click from all impressions: what CTR's samples say of it, and losses of products.

The sources' conversions are 0 or 1, here the label of CVR is a share: where they take the cross entropy of
pCTR * pCVR against click and conversion, here it is CVR's own loss against the share of the impression that was
watched, 0 where nobody clicked. CVR learns from CTR's samples alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ncs.data_loading import Batch
from ncs.nets.inputs import Inputs
from ncs.nets.layers import Tower
from ncs.nets.model import Group, Model, NetSpec, logit_loss
from ncs.tasks import CTR, CVR, Task

_EPSILON = torch.finfo(torch.float32).eps
"""How near to 0 and 1 a probability may come in a cross entropy."""


@dataclass(frozen=True)
class Outcome:
    """What is known of the rows of a batch: `known` bool [rows]; the others float32 [known rows].

    A row that was clicked but has no label of CVR is not known.
    """

    known: Tensor
    clicked: Tensor
    cvr: Tensor
    """0 where not clicked."""

    @classmethod
    def of(cls, batch: Batch) -> "Outcome":
        """From a batch of CTR's samples."""
        clicked, cvr = batch.labels[CTR], batch.labels[CVR]
        known = (clicked == 0) | ~cvr.isnan()
        clicked, cvr = clicked[known], cvr[known]
        return cls(known, clicked, torch.where(clicked == 0, 0.0, cvr))


class EntireSpace(Model):
    """Shared inputs, a tower for each task but CVR, which CTR's samples teach; further tasks have their own samples."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        self.groups = (Group(tuple(spec.tasks), tuple(task for task in spec.tasks if task != CVR)),)
        self.inputs = Inputs(spec.inputs)
        self.towers = nn.ModuleDict({task: self.tower() for task in spec.tasks if task != CVR})

    def tower(self) -> Tower:
        """A new tower on the inputs."""
        return Tower(self.spec.inputs.width, self.spec.net.hidden)

    def logits(self, ids: Tensor, task: str) -> Tensor:
        """The task's tower on the shared inputs."""
        return self.towers[task](self.inputs(ids))

    def loss(self, batch: Batch, task: str) -> Tensor:
        """CTR's loss with what its samples teach of clicks; another task's own loss."""
        if task != CTR:
            return super().loss(batch, task)
        input = self.inputs(batch.ids)  # once a loss: the optimiser learns of the embedding's latest use alone
        click = self.towers[CTR](input)
        after = self.loss_after(torch.sigmoid(click), input, Outcome.of(batch))
        return logit_loss(self.tasks[CTR], click, batch.labels[CTR]) + after

    def loss_after(self, click: Tensor, input: Tensor, outcome: Outcome) -> Tensor:
        """The loss of what follows a click, summed over the known rows, from pCTR [rows] and input [rows, width].

        Predictions of the other rows are left out before a loss sees them: a NaN label makes a gradient NaN even
        where it is multiplied by 0.
        """
        raise NotImplementedError


def probability_loss(task: Task, predicted: Tensor, labels: Tensor) -> Tensor:
    """The task's weighted loss, summed over rows, of probabilities [rows] that are no sigmoids of logits."""
    if task.loss == "cross_entropy":
        inside = predicted.clamp(_EPSILON, 1 - _EPSILON)
        with torch.autocast(inside.device.type, enabled=False):  # which refuses this loss on a GPU, float32 or not
            return task.weight * F.binary_cross_entropy(inside, labels, reduction="sum")
    return task.weight * F.mse_loss(predicted, labels, reduction="sum")
