"""FullShare: both tasks use all of the base network, an output layer each (both masks of ConnectionShare all 1).

The shared-bottom net of the multi-task field, whose bottom is everything but the output layers. How far its tasks'
gradients conflict in the end is the dense control of what masks do to them.
"""

from ncs.config import Config
from ncs.lake.documents import Conflict
from ncs.methods.conflict import conflict
from ncs.models import ModelType
from ncs.nets.masked import MaskedNet
from ncs.training.loop import Trainer, train_groups


def train(net: MaskedNet, trainer: Trainer, conf: Config) -> None:
    """Train it, and measure its conflict."""
    train_groups(net, trainer, conf)
    trainer.store.write_json("conflict", Conflict(theta={}, final=conflict(net, trainer)))


MODEL = ModelType(MaskedNet, train)
