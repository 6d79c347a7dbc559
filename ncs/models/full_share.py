"""FullShare: both tasks use all of the base network, an output layer each (both masks of ConnectionShare all 1).

The shared-bottom net of the multi-task field, whose bottom is everything but the output layers.
"""

from ncs.models import ModelType
from ncs.nets.masked import MaskedNet

MODEL = ModelType(MaskedNet)
