"""What one task uses of a model, where that is inputs and FC layers: the form that can be served by itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from ncs.nets.inputs import Inputs


class Layer(NamedTuple):
    """An FC layer with its mask applied: weight [out, in], pruned connections 0, and bias [out]."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Subnetwork:
    """Inputs, then FC layers with a ReLU between them; the last one gives the logit."""

    inputs: Inputs
    layers: Sequence[Layer]
