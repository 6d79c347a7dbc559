"""SNR-Trans: two levels of sub-networks, each connection a matrix times a learnt gate (Ma et al., AAAI 2019).

"SNR: Sub-Network Routing for Flexible Parameter Sharing in Multi-Task Learning". Differs: the inputs are this
project's (embeddings and their cross); sub-networks have the FC widths except the last, where the source splits
shared layers of a fixed size among them; gates are drawn once a batch; a batch is of one task, so it pays the L0
penalty of the gates that this task uses.
"""

from ncs.models import ModelType
from ncs.nets.model import Model, NetSpec
from ncs.nets.routing import RoutedNet


def build(spec: NetSpec) -> Model:
    """Connections with matrices."""
    return RoutedNet(spec, transform=True)


MODEL = ModelType(build)
