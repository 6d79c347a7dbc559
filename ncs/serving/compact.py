"""A subnetwork without the neurons that its mask has cut off.

A neuron without outgoing connections is removed. One without incoming connections is a constant, the ReLU of its bias,
which is folded into the biases of the next layer. Outputs are the same up to the rounding of float32.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ncs.errors import ExportError
from ncs.nets.layers import Layer


def compact(layers: Sequence[Layer], norm: bool = False) -> list[Layer]:
    """FC layers with a ReLU between them -> the same without dead neurons; all input columns are kept.

    With normalised outputs all neurons stay: each has a part in the mean and variance of its layer. Raises ExportError
    if there is no path from the input to the output, which is then a constant.
    """
    small = without_unread(without_constants(layers))
    return list(layers) if norm else small


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
    """Hidden neurons without outgoing connections are removed, from the last layer to the first."""
    kept = [layers[-1]]
    for weight, bias in reversed(layers[:-1]):
        after, read = kept[0], read_columns(kept[0].weight)
        kept[:1] = [Layer(weight[read], bias[read]), Layer(after.weight[:, read], after.bias)]
    return kept


def read_columns(weight: Tensor) -> Tensor:
    """Which inputs of a layer some kept connection reads: bool [in]."""
    return (weight != 0).any(0)
