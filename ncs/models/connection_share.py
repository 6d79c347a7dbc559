"""ConnectionShare: one base network, a subnetwork for each task (paper section 2.2, Fig. 1c, Algorithm 1).

Differs from the paper where it is silent: each task has an output layer of its own (one sigmoid a task), which
its mask covers too if `net.mask_output`. `share` makes controls of it, which take something away: the right mask
(`share.masks`), or sharing itself (`share.towers`, the same subnetworks in nets of their own).
"""

from dataclasses import replace
from typing import Any

from ncs.config import Config, digest
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
    """The whole of Algorithm 1; leaves in `net` the trained weights and each task's mask."""
    base = MaskedNet(net.spec).to(net.device) if conf.share.towers else net
    store = trainer.store.beside(f"search-{digest([_decisive(conf), prune.__name__])}")
    found = find_masks(base, replace(trainer, store=store), conf.prune, prune)
    for line in store.logged():  # a search that several models of a run have in common counts for each
        trainer.store.log(line)
    net.start_from(found.theta)  # line 13
    net.task_masks = {}
    at_theta = conflict(net, trainer)
    masks = assign(found.masks, conf.share.masks, conf.train.seed)
    net.task_masks = masks
    columns = net.spec.inputs.columns(list(conf.fields))
    trainer.store.write_json("masks", describe(found, masks, columns))
    train_groups(net, trainer, conf)  # lines 14 to 18
    trainer.store.write_json("conflict", {"theta": at_theta, "final": conflict(net, trainer)})


def _decisive(conf: Config) -> dict[str, Any]:
    """What decides a search within a run."""
    found = conf.part("tasks", "net", "prune", "share.task_biases", "train")
    later = ("models", "epochs", "patience", "threads", "device")
    return found | {"train": {key: value for key, value in found["train"].items() if key not in later}}


MODEL = ModelType(build, train)
