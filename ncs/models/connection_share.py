"""ConnectionShare: one base network, a subnetwork for each task (paper section 2.2, Fig. 1c, Algorithm 1).

Where the paper is silent: each task has an output layer of its own (one sigmoid a task), which its mask covers too if
`net.mask_output`. `share` makes controls of it that lack something: the right masks (`share.masks`), or sharing itself
(`share.towers`, the same subnetworks in separate nets).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ncs.config import Config, digest, without_later
from ncs.lake.documents import Conflict
from ncs.methods.assign import assign
from ncs.methods.conflict import conflict
from ncs.methods.search import PruneRound, Search, describe, find_masks
from ncs.models import ModelType
from ncs.nets.masked import MaskedNet
from ncs.nets.model import NetSpec
from ncs.pruning.prune import prune
from ncs.training.loop import Trainer, train_groups
from ncs.training.store import Store


def build(spec: NetSpec) -> MaskedNet:
    """The base network."""
    return MaskedNet(spec, spec.share.towers)


def train(net: MaskedNet, trainer: Trainer, conf: Config, prune: PruneRound = prune) -> None:
    """Algorithm 1; leaves in `net` the trained weights and each task's mask, which are its models (lines 19 and 20)."""
    # Step 1, lines 1 to 11: generate the subnetworks.
    base = MaskedNet(net.spec).to(net.device) if conf.share.towers else net
    train_under(search_masks(base, trainer, conf, prune), net, trainer, conf)


def train_under(search: Search, net: MaskedNet, trainer: Trainer, conf: Config) -> None:
    """Step 2, lines 12 to 18: train the final sharing model."""
    net.start_from(search.theta)  # line 13
    net.task_masks = {}
    at_theta = conflict(net, trainer)
    net.task_masks = assign(search.masks, conf.share.masks, conf.train.seed)
    trainer.store.write_json("masks", describe(search, net.task_masks, net.spec.inputs.columns()))
    train_groups(net, trainer, conf)  # lines 14 to 18: a batch of a task trains its subnetwork, sNET * mask
    trainer.store.write_json("conflict", Conflict(theta=at_theta, final=conflict(net, trainer)))


def search_masks(base: MaskedNet, trainer: Trainer, conf: Config, prune: PruneRound = prune) -> Search:
    """The masks of all tasks of `base`, by pruning."""
    alone = list(base.tasks) if len(base.tasks) == 1 else []
    with search_store(trainer, conf, prune.__name__, *alone) as store:
        return find_masks(base, replace(trainer, store=store), conf.prune, prune)


@contextmanager
def search_store(trainer: Trainer, conf: Config, *how: str) -> Iterator[Store]:
    """Where a search is kept: all models of a run that search alike, by configuration and `how`, search once.

    Its epochs count for each of them.
    """
    store = trainer.store.beside(f"search-{digest([_search_keys(conf), *how])}")
    yield store
    for epoch in store.logged():
        trainer.store.log(epoch)


def _search_keys(conf: Config) -> dict[str, Any]:
    """The configuration that decides a search within a run."""
    keys = without_later(conf.part("tasks", "net", "prune", "share.task_biases", "train"))
    later = ("models", "epochs", "patience", "threads", "device")
    return keys | {"train": {key: value for key, value in keys["train"].items() if key not in later}}


MODEL = ModelType(build, train)
