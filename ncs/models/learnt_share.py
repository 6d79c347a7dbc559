"""ConnectionShare whose masks are learnt with the weights, all tasks together, by straight-through gradients.

In the place of the pruning rounds stands a mixed training as long as they are (`prune.rounds` epochs) of the weights
and of a score a connection and task; each task keeps as many connections as `prune.rounds` rounds would leave. Then, as
in Algorithm 1, weights go back to theta and are trained under the masks, which stay. After AdaShare (Sun et al.,
NeurIPS 2020), whose tasks learn which blocks to keep, and movement pruning; differs: connections, a budget in the place
of a price.
"""

from dataclasses import replace
from typing import Any

import torch

from ncs.config import Config
from ncs.methods.search import Round, Search, train_theta
from ncs.models import ModelType
from ncs.models.connection_share import build, search_store, train_under
from ncs.nets.learnt import LearntMasks
from ncs.nets.masked import MaskedNet
from ncs.pruning.mask import Mask
from ncs.training.loop import Trainer
from ncs.training.phase import Phase


def learn_masks(base: MaskedNet, trainer: Trainer, conf: Config) -> Search:
    """Theta, and of each task the dense mask and the one that it has learnt, which is chosen."""
    theta, tasks = train_theta(base, trainer, conf.prune), tuple(base.tasks)
    cpu = torch.device("cpu")

    def learn() -> dict[str, Any]:
        keep = {task: (1 - conf.prune.pruning_rate(task)) ** conf.prune.rounds for task in tasks}
        net = LearntMasks(base.spec, keep).to(base.device)
        net.load_state_dict(theta, strict=False)  # all but the scores
        net.rank_weights()
        best = trainer.fit(net, Phase("search", tasks, tasks, conf.prune.rounds)) if conf.prune.rounds else {}
        masks = {task: dict(net.learnt_mask(task)) for task in tasks}
        return {"masks": masks, "validation": {task: kept.score for task, kept in best.items()}}

    artefact = trainer.store.get_or_compute("search-learnt", learn)
    rounds = {
        task: [
            Round(Mask.ones(base.maskable(task)).to(cpu), None),
            Round(Mask(layers), artefact["validation"].get(task)),
        ]
        for task, layers in artefact["masks"].items()
    }
    trainer.store.clear_checkpoints()
    return Search(theta, rounds, dict.fromkeys(tasks, 1))


def train(net: MaskedNet, trainer: Trainer, conf: Config) -> None:
    """Learn the masks, then train the sharing model under them."""
    base = MaskedNet(net.spec).to(net.device) if conf.share.towers else net
    with search_store(trainer, conf, "learnt") as store:
        search = learn_masks(base, replace(trainer, store=store), conf)
    train_under(search, net, trainer, conf)


MODEL = ModelType(build, train)
