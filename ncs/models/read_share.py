"""ReadShare: a task trains the connections of its mask and reads those of all masks.

As ConnectionShare, but a mask says what a task may change, not what it may use: what is another task's alone is read
through a stop-gradient, as STEM reads other tasks' embeddings (Su et al., AAAI 2024, arXiv 2308.13537), for single
connections. With disjoint masks (`share.masks: disjoint`) every connection has one owner: neither task can undo what
the other learns, both use it. With `prune.rounds: 0` nothing is searched, and owners are random.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ncs.models import ModelType, connection_share
from ncs.nets.masked import MaskedNet
from ncs.pruning.mask import OUTPUT, Mask


class ReadingNet(MaskedNet):
    """A masked net in which each task's subnetwork is the union of all masks; a step updates the task's own mask."""

    _all: tuple[Mapping[str, Mask], dict[str, Tensor]] = {}, {}

    def kept(self, task: str) -> Mapping[str, Tensor]:
        """The union of the hidden layers' masks, and the task's own output layer; while one task has a mask, that."""
        masks = self.task_masks
        if self._all[0] is not masks:
            names = [name for mask in masks.values() for name in mask if name != OUTPUT]
            self._all = masks, {name: torch.stack([m[name] for m in masks.values()]).amax(0) for name in names}
        own: Mapping[str, Tensor] = masks.get(task, {})
        return {**own, **self._all[1]} if own else own


MODEL = ModelType(lambda spec: ReadingNet(spec, spec.share.towers), connection_share.train)
