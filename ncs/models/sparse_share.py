"""Sparse sharing (Sun et al. 2020): each task's mask from its own training, without the mixed theta.

"Learning Sparse Sharing Architectures for Multiple Tasks", AAAI 2020: every task prunes the same initial weights
iteratively, the joint training starts from these weights again. With its optional multi-task warm-up, which would be
theta here, it would be ConnectionShare. Differs: one epoch a pruning round, as in ConnectionShare.
"""

from ncs.config import Config
from ncs.models import ModelType, connection_share
from ncs.nets.masked import MaskedNet
from ncs.training.loop import Trainer


def train(net: MaskedNet, trainer: Trainer, conf: Config) -> None:
    """Algorithm 1 from the initial weights."""
    prune = conf.prune.model_copy(update={"theta_epochs": 0.0})
    connection_share.train(net, trainer, conf.model_copy(update={"prune": prune}))


MODEL = ModelType(connection_share.build, train)
