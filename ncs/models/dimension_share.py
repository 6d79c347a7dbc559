"""DimensionShare: subnetworks that leave out dimensions of embeddings and whole numbers, not single connections.

The search is that of ConnectionShare; what a round prunes is a dimension of a feature's vector, with all connections
that read it, its products in the crosses among them, or a number. So a dimension that one task keeps alone is learnt
from that task alone: private parts of embeddings, where most parameters and most overfitting are. After the masks on
fields and on parts of embeddings of MSSM (Ding et al., SIGIR 2021) and MultiSFS (Wang et al., SIGIR 2023); differs:
found by iterative pruning; the root mean square of its connections' scores ranks a dimension. The dot products of
`net.interaction: dot` take all dimensions and stay.
"""

from collections.abc import Mapping

from torch import Tensor

from ncs.config import Config
from ncs.models import ModelType, connection_share
from ncs.nets.masked import MaskedNet
from ncs.pruning.mask import Mask
from ncs.pruning.prune import Scope, prune_inputs
from ncs.training.loop import Trainer


def train(net: MaskedNet, trainer: Trainer, conf: Config) -> None:
    """Algorithm 1 on dimensions of the input."""
    units = net.spec.inputs.units()

    def prune_dimensions(mask: Mask, scores: Mapping[str, Tensor], rate: float, scope: Scope) -> Mask:
        return prune_inputs(mask, scores, rate, units)

    connection_share.train(net, trainer, conf, prune_dimensions)


MODEL = ModelType(connection_share.build, train)
