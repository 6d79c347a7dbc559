"""Fully connected layers, whole or under a mask."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat
from typing import NamedTuple, cast

from torch import Tensor, nn
from torch.nn import functional as F

from ncs.config import Net
from ncs.nets.crosses import Crossed, linear
from ncs.nets.dropout import Dropout
from ncs.nets.inputs import Inputs
from ncs.nets.members import MemberScales


class Layer(NamedTuple):
    """An FC layer with its mask applied: weight [out, in], pruned connections 0, and bias [out]."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Subnetwork:
    """Inputs, then FC layers with a ReLU between them; the last one gives the logit."""

    inputs: Inputs
    layers: Sequence[Layer]
    norm: bool
    """Whether the outputs of hidden layers are normalised before the ReLU."""
    member: int = 0

    @property
    def factors(self) -> Tensor | None:
        """The factors of vectors and numbers before they are crossed, [base]; None: there are none."""
        return None if self.inputs.scales is None else self.inputs.scales.member(self.member)


class MaskedLinear(nn.Linear):
    """A linear layer with an optional mask, which is applied in the forward pass (paper section 2.2, sNET ⊙ mask).

    The stored weights are not overwritten: a connection that one task masks may be alive for another. With several
    `members` each scales its input first; a layer on `Inputs`, which have scales of their own, has 1.
    """

    def __init__(self, before: int, after: int, bias: bool = True, members: int = 1, signs: bool = False) -> None:
        super().__init__(before, after, bias)
        self.scales = MemberScales(members, before, signs) if members > 1 else None

    def forward(self, input: Tensor | Crossed, mask: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """Input [batch, in] -> [batch, out]; mask [out, in] of 0 and 1, or None for the whole layer."""
        if self.scales is not None:
            assert isinstance(input, Tensor)
            input = self.scales(input)
        weight = self.weight if mask is None else self.weight * mask
        return linear(input, weight, self.bias if bias is None else bias)

    def member(self, number: int, mask: Tensor | None = None, bias: Tensor | None = None) -> Layer:
        """The layer as a member has it, with the mask and the member's scales in its weights."""
        weight = self.weight if mask is None else self.weight * mask
        weight = weight if self.scales is None else weight * self.scales.member(number)
        return Layer(weight, self.bias if bias is None else bias)


class Activation(nn.Module):
    """Normalisation over a hidden layer's neurons, if any, then ReLU and dropout. It has no weights.

    Of a masked layer all neurons are normalised, those that the mask has cut off too, as the constants that they are.
    """

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.norm = net.norm == "layer"
        self.dropout = Dropout(net.dropout)

    def forward(self, input: Tensor) -> Tensor:
        """Outputs of a layer [..., neurons], which are overwritten -> [..., neurons]."""
        return self.dropout(F.relu_(F.layer_norm(input, input.shape[-1:]) if self.norm else input))


class Tower(nn.Module):
    """FC layers with ReLU (`hidden` may be empty) and an output layer with one logit."""

    def __init__(self, width: int, hidden: Sequence[int], net: Net) -> None:
        super().__init__()
        self.hidden = hidden_layers(width, hidden, members=net.members)
        self.activation = Activation(net)
        self.output = output_layer([width, *hidden][-1], net.members)

    def forward(self, input: Tensor | Crossed) -> Tensor:
        """Input [batch, width] -> logits [batch], of the weights' type whatever the precision of the layers."""
        return self.output(mlp_forward(self.hidden, self.activation, input)).squeeze(1).to(self.output.weight.dtype)

    def subnetwork(self, inputs: Inputs, member: int = 0) -> Subnetwork:
        """All of a member's layers, the output layer last, on inputs."""
        layers = [cast(MaskedLinear, layer).member(member) for layer in (*self.hidden, self.output)]
        return Subnetwork(inputs, layers, self.activation.norm, member)


def output_layer(width: int, members: int = 1) -> MaskedLinear:
    """The layer of one logit; members' scales start as random signs: from the first step on each reads other sums."""
    return MaskedLinear(width, 1, members=members, signs=True)


def hidden_layers(width: int, hidden: Sequence[int], bias: bool = True, members: int = 1) -> nn.ModuleList:
    """Linear layers of the given widths on an input of `width`, whose members are scaled already."""
    widths = [width, *hidden]
    layers = [MaskedLinear(*pair, bias, members if n else 1) for n, pair in enumerate(pairwise(widths))]
    for layer in layers:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
        if bias:
            nn.init.zeros_(layer.bias)
    return nn.ModuleList(layers)


def mlp_forward(
    layers: Iterable[nn.Module],
    activation: Activation,
    input: Tensor | Crossed,
    masks: Mapping[str, Tensor] | None = None,
    biases: Iterable[Tensor] | None = None,
) -> Tensor | Crossed:
    """Input [batch, width] through hidden layers, each with the activation behind it; without layers the input itself.

    `masks` are by name `hidden.<n>`; `biases` replace the layers' own.
    """
    own = repeat(None) if biases is None else biases
    for n, (layer, bias) in enumerate(zip(layers, own, strict=False)):
        input = activation(layer(input, masks.get(f"hidden.{n}") if masks else None, bias))
    return input
