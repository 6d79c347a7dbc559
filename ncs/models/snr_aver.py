"""SNR-Aver: two levels of sub-networks, each connection a learnt gate alone (Ma et al., AAAI 2019).

As `snr_trans`, with the identity in the matrices' place: a sub-network reads a weighted sum of those below it.
"""

from ncs.models import ModelType
from ncs.nets.model import Model, NetSpec
from ncs.nets.routing import RoutedNet


def build(spec: NetSpec) -> Model:
    """Connections without matrices."""
    return RoutedNet(spec, transform=False)


MODEL = ModelType(build)
