"""Masks that are learnt with the weights, by gradients straight through the decision to keep a connection."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from ncs.nets.masked import MaskedNet
from ncs.nets.model import NetSpec
from ncs.pruning.mask import Mask

RATE = 10.0
"""How many times as fast as a weight a score learns: from one end of [0, 1] to the other in some hundred steps."""


class LearntMasks(MaskedNet):
    """A base network in which every task has a score for each connection, and keeps the highest ones.

    A mask is 1 for the share of the scores that the task keeps, over all layers at once, which is the budget in the
    place of a price; backwards it is the score itself (Bengio et al. 2013, arXiv 1308.3432; of pruning: Sanh et al.,
    NeurIPS 2020). So a score rises where the task's loss falls with the connection, also while it is pruned.
    """

    def __init__(self, spec: NetSpec, keep: Mapping[str, float]) -> None:
        """`keep` is the share of the connections that each task keeps. Scores start as the ranks of |weight|."""
        super().__init__(spec)
        self.keep = keep
        weights = {task: self.maskable(task).values() for task in keep}
        self.learnt = nn.ModuleDict(
            {task: nn.ParameterList(map(torch.zeros_like, of_task)) for task, of_task in weights.items()}
        )
        self._start: dict[str, dict[str, Tensor]] = {}

    def rank_weights(self) -> None:
        """Let scores start as the ranks of the current weights' magnitude, within [0, 1]."""
        for task in self.keep:
            weights = self.maskable(task)
            order = torch.cat([weight.detach().abs().flatten() for weight in weights.values()]).argsort().argsort()
            ranks = (order / order.numel()).split([weight.numel() for weight in weights.values()])
            self._start[task] = {name: rank.view_as(weights[name]) for name, rank in zip(weights, ranks, strict=True)}

    def kept(self, task: str) -> Mapping[str, Tensor]:
        """The task's mask as of its scores, with their gradient."""
        starts, learnt = self._start[task], cast(nn.ParameterList, self.learnt[task])
        scores = {name: start + RATE * own for (name, start), own in zip(starts.items(), learnt, strict=True)}
        whole = torch.cat([score.detach().flatten() for score in scores.values()])
        pruned = int((1 - self.keep[task]) * whole.numel())
        threshold = whole.kthvalue(pruned + 1).values  # which counts from 1
        # The highest score of a layer stays: behind an empty layer nothing has a gradient. A difference of equals is 0,
        # so the value is 0 or 1 exactly, and the gradient that of the score.
        return {
            name: (score.detach() >= threshold.minimum(score.detach().max())) + (score - score.detach())
            for name, score in scores.items()
        }

    def learnt_mask(self, task: str) -> Mask:
        """The task's mask, in host memory."""
        return Mask({name: kept.detach().round().cpu() for name, kept in self.kept(task).items()})
