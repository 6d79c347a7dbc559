"""NeuronShare: subnetworks of whole neurons instead of connections (paper section 3.1, competitor 4).

The search is that of ConnectionShare. The paper does not say what ranks a neuron: here it is the root mean square of
its incoming connections' scores. A removed neuron loses its incoming and its outgoing connections.
"""

from ncs.config import Config
from ncs.models import ModelType, connection_share
from ncs.nets.masked import MaskedNet
from ncs.pruning.prune import prune_neurons
from ncs.training.loop import Trainer


def train(net: MaskedNet, trainer: Trainer, conf: Config) -> None:
    """Algorithm 1 on neurons."""
    connection_share.train(net, trainer, conf, prune_neurons)


MODEL = ModelType(connection_share.build, train)
