"""FullShare: both tasks use all of the base network, an output layer each (both masks of ConnectionShare all 1).

The shared-bottom net of the multi-task field, whose bottom is everything but the output layers.
"""

from ncs.nets.masked import MaskedNet
from ncs.training.model_type import ModelType

MODEL = ModelType(MaskedNet)
