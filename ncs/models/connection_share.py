"""ConnectionShare: one base network, a subnetwork for each task (paper section 2.2, Fig. 1c, Algorithm 1).

Where the paper is silent: each task has an output layer of its own (one sigmoid a task), which its mask covers too if
`net.mask_output`. `share` makes controls of it that lack something: the right masks (`share.masks`), or sharing itself
(`share.towers`, the same subnetworks in separate nets).
"""

from dataclasses import replace
from typing import Any

from ncs.config import Config, digest
from ncs.lake.documents import Conflict
from ncs.methods.assign import assign
from ncs.methods.conflict import conflict
from ncs.methods.search import PruneRound, describe, find_masks
from ncs.models import ModelType
from ncs.nets.masked import MaskedNet
from ncs.nets.model import NetSpec
from ncs.pruning.prune import prune
from ncs.training.loop import Trainer, train_groups


def build(spec: NetSpec) -> MaskedNet:
    """The base network."""
    return MaskedNet(spec, spec.share.towers)


def train(net: MaskedNet, trainer: Trainer, conf: Config, prune: PruneRound = prune) -> None:
    """Algorithm 1; leaves in `net` the trained weights and each task's mask, which are its models (lines 19 and 20)."""
    # Step 1, lines 1 to 11: generate the subnetworks.
    base = MaskedNet(net.spec).to(net.device) if conf.share.towers else net
    store = trainer.store.beside(f"search-{digest([_search_keys(conf), prune.__name__])}")
    search = find_masks(base, replace(trainer, store=store), conf.prune, prune)
    for epoch in store.logged():  # a search that several models of a run have in common counts for each
        trainer.store.log(epoch)
    # Step 2, lines 12 to 18: train the final sharing model.
    net.start_from(search.theta)  # line 13
    net.task_masks = {}
    at_theta = conflict(net, trainer)
    net.task_masks = assign(search.masks, conf.share.masks, conf.train.seed)
    trainer.store.write_json("masks", describe(search, net.task_masks, net.spec.inputs.columns()))
    train_groups(net, trainer, conf)  # lines 14 to 18: a batch of a task trains its subnetwork, sNET * mask
    trainer.store.write_json("conflict", Conflict(theta=at_theta, final=conflict(net, trainer)))


def _search_keys(conf: Config) -> dict[str, Any]:
    """The configuration that decides a search within a run."""
    keys = conf.part("tasks", "net", "prune", "share.task_biases", "train")
    later = ("models", "epochs", "patience", "threads", "device")
    return keys | {"train": {key: value for key, value in keys["train"].items() if key not in later}}


MODEL = ModelType(build, train)
