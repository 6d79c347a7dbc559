"""What every system is: a net with a logit for each task. The systems themselves are in `ncs.systems`."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ncs.config import Config
from ncs.nets.inputs import InputSpec
from ncs.tasks import TASKS


@dataclass(frozen=True)
class NetSpec:
    """Sizes that all systems of a comparison have in common."""

    inputs: InputSpec
    hidden: tuple[int, ...]
    mask_output: bool

    @classmethod
    def of(cls, conf: Config, sizes: Mapping[str, int]) -> "NetSpec":
        """From the configuration and the number of ids of each field."""
        names = list(conf.fields)
        crosses = tuple((names.index(left), names.index(right)) for left, right in conf.crosses)
        inputs = InputSpec(tuple(sizes[name] for name in names), conf.net.embedding, crosses)
        return cls(inputs, tuple(conf.net.hidden), conf.net.mask_output)


class System(nn.Module):
    """A net that predicts every task.

    `groups` are the tasks that are trained together; tasks of different groups have no weight in common, and
    each group stops and is chosen by itself.
    """

    groups: ClassVar[tuple[tuple[str, ...], ...]] = (tuple(TASKS),)

    def logits(self, ids: Tensor, task: str) -> Tensor:
        """Ids int64 [batch, fields] -> logits [batch]."""
        raise NotImplementedError

    def masks(self, task: str) -> Mapping[nn.Parameter, Tensor]:
        """The weights of which `task` may move only a part, and that part (0 or 1, of the weight's shape)."""
        return {}

    @torch.no_grad()
    def predict(self, ids: Tensor) -> dict[str, Tensor]:
        """Ids int64 [batch, fields] -> each task's prediction [batch], within (0, 1)."""
        return {task: torch.sigmoid(self.logits(ids, task)) for task in TASKS}


def build(name: str, spec: NetSpec, seed: int) -> System:
    """A system by its name in the configuration, with weights drawn from `seed`."""
    torch.manual_seed(seed)
    module = importlib.import_module(f"ncs.systems.{name}")
    return module.build(spec)
