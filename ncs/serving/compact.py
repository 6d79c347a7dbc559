"""A subnetwork without what its mask has cut off: neurons and inputs that no kept connection reads.

A neuron that nothing reads goes. One that reads nothing is a constant, the ReLU of its bias: what it adds is put into
the biases of the next layer. Outputs stay as they are, up to the rounding of float32.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ncs.errors import ExportError
from ncs.nets.layers import Layer


def compact(layers: Sequence[Layer]) -> list[Layer]:
    """FC layers with a ReLU between them -> the same without dead neurons; the input's columns all stay.

    Raises ExportError if no path is left from the input to the output, which then is a constant.
    """
    return without_unread(without_constants(layers))


def without_constants(layers: Sequence[Layer]) -> list[Layer]:
    """Hidden neurons without incoming connections are folded into the biases of the layer after them."""
    weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
    for n in range(len(layers) - 1):
        reads = (weights[n] != 0).any(1)
        constant = torch.relu(biases[n][~reads])
        biases[n + 1] = biases[n + 1] + (weights[n + 1][:, ~reads].double() @ constant.double()).float()
        weights[n], biases[n], weights[n + 1] = weights[n][reads], biases[n][reads], weights[n + 1][:, reads]
    if not weights[-1].any():
        raise ExportError("its mask leaves no path from inputs to output, so that it predicts a constant; prune less")
    return [Layer(*both) for both in zip(weights, biases, strict=True)]


def without_unread(layers: Sequence[Layer]) -> list[Layer]:
    """Hidden neurons without outgoing connections are left out, from the last layer to the first."""
    found = [layers[-1]]
    for weight, bias in reversed(layers[:-1]):
        after, read = found[0], read_columns(found[0].weight)
        found[:1] = [Layer(weight[read], bias[read]), Layer(after.weight[:, read], after.bias)]
    return found


def read_columns(weight: Tensor) -> Tensor:
    """Which inputs of a layer some kept connection reads: bool [in]."""
    return (weight != 0).any(0)
