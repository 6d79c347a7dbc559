"""The base network sNET and the subnetworks sNET ⊙ mask that tasks take from it (paper section 2.2, Fig. 2)."""

import re
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ncs.data_loading import Features
from ncs.nets.inputs import Inputs
from ncs.nets.layers import Activation, MaskedLinear, Subnetwork, hidden_layers, mlp_forward, output_layer
from ncs.nets.model import Model, NetSpec
from ncs.pruning.mask import OUTPUT

SHARED = "shared"
"""The name of the hidden layers that all tasks share."""


class MaskedNet(Model):
    """Shared inputs and hidden layers, an output layer a task; a task without a mask uses all of it.

    Masks cover weights of FC layers. Embeddings are shared and dense, so are biases unless `share.task_biases`.
    With `towers` each task has hidden layers of its own: the same net without sharing.
    """

    def __init__(self, spec: NetSpec, towers: bool = False) -> None:
        super().__init__(spec)
        self.inputs = Inputs(spec.inputs)
        self.owners = {task: task if towers else SHARED for task in spec.tasks}
        hidden, biased = spec.net.hidden, not spec.share.task_biases
        self.bodies = nn.ModuleDict(
            {
                owner: hidden_layers(spec.inputs.width, hidden, biased, self.members)
                for owner in dict.fromkeys(self.owners.values())
            }
        )
        self.biases = nn.ModuleDict(
            {} if biased else {task: nn.ParameterList(torch.zeros(width) for width in hidden) for task in spec.tasks}
        )
        self.outputs = nn.ModuleDict({task: output_layer(hidden[-1], self.members) for task in spec.tasks})
        self.activation = Activation(spec.net)
        self.mask_output = spec.net.mask_output

    def hidden(self, task: str) -> Sequence[MaskedLinear]:
        """The hidden layers that the task uses."""
        return cast(Sequence[MaskedLinear], self.bodies[self.owners[task]])

    def maskable(self, task: str) -> dict[str, nn.Parameter]:
        """The weights that a mask of the task covers, by layer name."""
        weights = {f"hidden.{n}": layer.weight for n, layer in enumerate(self.hidden(task))}
        if self.mask_output:
            weights[OUTPUT] = cast(MaskedLinear, self.outputs[task]).weight
        return cast(dict[str, nn.Parameter], weights)

    def task_inputs(self, task: str) -> Inputs:
        """The inputs that the task reads: the shared ones."""
        return self.inputs

    def kept(self, task: str) -> Mapping[str, Tensor]:
        """The mask that the task's weights are multiplied by, by layer name; nothing for a task without a mask."""
        return self.task_masks.get(task, {})

    def logits(self, features: Features, task: str) -> Tensor:
        """The output of the task's subnetwork; logits have the weights' type whatever the precision."""
        masks, input = self.kept(task), self.task_inputs(task).lazy(features)
        biases = cast(nn.ParameterList, self.biases[task]) if self.biases else None
        hidden = mlp_forward(self.hidden(task), self.activation, input, masks, biases)
        output = cast(MaskedLinear, self.outputs[task])
        return output(hidden, masks.get(OUTPUT)).squeeze(1).to(output.weight.dtype)

    def masks(self, task: str) -> Mapping[nn.Parameter, Tensor]:
        """Maskable weight -> mask of what the task may update."""
        mask = self.task_masks.get(task)
        return {weight: mask[name] for name, weight in self.maskable(task).items()} if mask else {}

    def subnetwork(self, task: str, member: int = 0) -> Subnetwork:
        """sNET ⊙ mask as a member has it, with the biases that the task uses."""
        masks = self.kept(task)
        output = cast(MaskedLinear, self.outputs[task])
        layers = {**{f"hidden.{n}": layer for n, layer in enumerate(self.hidden(task))}, OUTPUT: output}
        own = [*cast(nn.ParameterList, self.biases[task]), output.bias] if self.biases else None
        biases = own or [layer.bias for layer in layers.values()]
        whole = zip(layers.items(), biases, strict=True)
        of_member = [layer.member(member, masks.get(name), bias) for (name, layer), bias in whole]
        return Subnetwork(self.task_inputs(task), of_member, self.activation.norm, member)

    def start_from(self, theta: Mapping[str, Tensor]) -> None:
        """Load the weights of a net of the same sizes; each tower gets those of the shared hidden layers."""
        shared = f"bodies.{SHARED}."
        self.load_state_dict({name: theta[re.sub(r"^bodies\.\w+\.", shared, name)] for name in self.state_dict()})
