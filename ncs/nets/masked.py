"""The base network sNET and the subnetworks sNET ⊙ mask that tasks take from it (paper section 2.2, Fig. 2)."""

from collections.abc import Mapping

from torch import Tensor, nn

from ncs.nets.inputs import Inputs
from ncs.nets.layers import MaskedLinear, hidden_layers, through
from ncs.nets.system import NetSpec, System
from ncs.sharing.mask import Mask
from ncs.tasks import TASKS


class MaskedNet(System):
    """Shared inputs and hidden layers, an output layer a task; a task without a mask uses all of it.

    Masks cover weights of FC layers. Embeddings and biases are shared and dense.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.inputs = Inputs(spec.inputs)
        self.hidden = hidden_layers(spec.inputs.width, spec.hidden)
        self.outputs = nn.ModuleDict({task: MaskedLinear(spec.hidden[-1], 1) for task in TASKS})
        self.mask_output = spec.mask_output
        self.task_masks: dict[str, Mask] = {}

    def maskable(self, task: str) -> dict[str, nn.Parameter]:
        """The weights that a mask of the task covers, by layer name."""
        weights = dict(self.named_parameters())
        names = [f"hidden.{n}.weight" for n in range(len(self.hidden))]
        return {name: weights[name] for name in [*names, *([f"outputs.{task}.weight"] if self.mask_output else [])]}

    def logits(self, ids: Tensor, task: str) -> Tensor:
        """The task's subnetwork."""
        masks: Mapping[str, Tensor] = self.task_masks.get(task, {})
        hidden = through(self.hidden, self.inputs(ids), masks)
        return self.outputs[task](hidden, masks.get(f"outputs.{task}.weight")).squeeze(1)

    def masks(self, task: str) -> Mapping[nn.Parameter, Tensor]:
        """The part of each maskable weight that the task may move."""
        mask = self.task_masks.get(task)
        return {weight: mask[name] for name, weight in self.maskable(task).items()} if mask else {}
