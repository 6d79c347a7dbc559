"""Staged sharing: one task after another in one net, each on what those before it left free.

The first task (CTR, which has a label on every row) searches its mask alone and is trained; then its kept weights are
frozen. The next one reads them and trains the freed ones, so that nothing it learns changes the first task's
predictions. After PackNet (Mallya and Lazebnik, CVPR 2018) and CSMF (arXiv 2504.12920), which train a video retrieval
model so from exposure to clicks to conversions. Differs: the mask is that of Algorithm 1's search; freed weights start
from theta; later tasks have biases of their own, and inputs of their own that start as the first task's; several later
tasks get the freed weights in random parts. Controls by `share.masks`: `random`, the first task's mask at random, as
dense in each layer; `disjoint`, the later tasks do not read what is frozen.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from ncs.config import Config
from ncs.methods.assign import assign
from ncs.models import ModelType
from ncs.models.connection_share import search_masks
from ncs.nets.inputs import Inputs
from ncs.nets.masked import MaskedNet
from ncs.nets.model import Group, NetSpec
from ncs.pruning.mask import OUTPUT, Mask
from ncs.training.loop import Trainer, record_validation
from ncs.training.phase import Phase


class StagedNet(MaskedNet):
    """A masked net whose tasks are trained one after another; a task's step leaves what earlier ones keep alone."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(_with_task_biases(spec))
        self.groups = tuple(Group((task,), (task,)) for task in spec.tasks)
        _, *later = spec.tasks
        self.own_inputs = nn.ModuleDict({task: Inputs(spec.inputs) for task in later})
        self._updated: tuple[Mapping[str, Mask], dict[str, Mask]] = {}, {}

    def task_inputs(self, task: str) -> Inputs:
        """The first task's inputs, or those of a later one."""
        if task in self.own_inputs:
            return cast(Inputs, self.own_inputs[task])
        return self.inputs

    def masks(self, task: str) -> Mapping[nn.Parameter, Tensor]:
        """Of what the task keeps, what no task before it does: the rest is frozen."""
        if self._updated[0] is not self.task_masks:  # the optimiser knows masks by identity: they are computed once
            self._updated = self.task_masks, own_parts(self.task_masks)
        mask = self._updated[1].get(task)
        return {weight: mask[name] for name, weight in self.maskable(task).items()} if mask else {}

    def begin(self, task: str) -> None:
        """Start the task's inputs as the first task's, if it has its own."""
        if task in self.own_inputs:
            self.own_inputs[task].load_state_dict(self.inputs.state_dict())


def own_parts(masks: Mapping[str, Mask]) -> dict[str, Mask]:
    """Each task's mask without what the tasks before it keep; of the output layer, its own, all."""
    own: dict[str, Mask] = {}
    frozen: dict[str, Tensor] = {}
    for task, mask in masks.items():
        own[task] = Mask({name: kept * (1 - frozen.get(name, 0 * kept)) for name, kept in mask.items()})
        shared = {name: kept for name, kept in mask.items() if name != OUTPUT}
        frozen = {name: torch.maximum(kept, frozen.get(name, kept)) for name, kept in shared.items()}
    return own


def stages(first: str, mask: Mask, tasks: list[str], reads: bool, seed: int) -> dict[str, Mask]:
    """The tasks' masks: the first one's, and of each later task a random part of the rest, and, if it `reads` it, that.

    A later task keeps all of its output layer.
    """
    later = [task for task in tasks if task != first]
    generator = torch.Generator().manual_seed(seed)
    owners = {name: torch.randint(len(later), kept.shape, generator=generator) for name, kept in mask.items()}
    masks = {first: mask}
    for n, task in enumerate(later):
        part = {name: (1 - kept) * (owners[name] == n) + kept * reads for name, kept in mask.items()}
        masks[task] = Mask({name: torch.ones_like(kept) if name == OUTPUT else kept for name, kept in part.items()})
    return masks


def train(net: StagedNet, trainer: Trainer, conf: Config) -> None:
    """The first task's search and training, then that of each later one; validation chooses each one's epochs."""
    first, *_ = net.tasks
    base = MaskedNet(_with_task_biases(net.spec.for_task(first))).to(net.device)
    search = search_masks(base, trainer, conf)
    net.load_state_dict(search.theta, strict=False)  # of one task's net: all that is the first task's here
    how = conf.share.masks
    mask = assign(search.masks, "random" if how == "random" else "own", conf.train.seed)[first]
    net.task_masks = stages(first, mask, list(net.tasks), how != "disjoint", conf.train.seed)
    start = {name: weight.clone() for name, weight in net.state_dict().items()}
    kept: dict[str, int] = {}
    for task in net.tasks:
        net.begin(task)
        phase = Phase("joint", (task,), (task,), conf.train.epochs, patience=conf.train.patience)
        kept[task] = trainer.fit(net, phase)[task].epoch
        record_validation(net, trainer, (task,))
    if conf.train.refit:  # after all choices: rows that choose a later task's epochs must be new to the first task too
        net.load_state_dict(start)
        for task, epochs in kept.items():
            net.begin(task)
            refit = Phase("refit", (task,), (task,), epochs, kept={task: epochs})
            trainer.on_all_rows().fit(net, refit)


def _with_task_biases(spec: NetSpec) -> NetSpec:
    return replace(spec, share=spec.share.model_copy(update={"task_biases": True}))


MODEL = ModelType(StagedNet, train)
