"""The base class of models: a net that predicts every task. The models themselves are in `ncs.models`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ncs.config import Config, Net, Share
from ncs.data_loading import Batch, Features
from ncs.errors import ExportError
from ncs.nets.embedding import Workers, named_embeddings
from ncs.nets.inputs import InputSpec
from ncs.nets.layers import Subnetwork
from ncs.nets.members import averaged, repeated
from ncs.pruning.mask import Mask
from ncs.tasks import Task, named_tasks

FOCAL_ALPHA, FOCAL_GAMMA = 0.75, 2.0
"""Of the focal loss: the weight of labels 1, and how much less a row counts that is predicted well."""


@dataclass(frozen=True)
class NetSpec:
    """The arguments of a model: its tasks, its inputs, and the sizes in the configuration."""

    tasks: Mapping[str, Task]
    inputs: InputSpec
    net: Net
    share: Share

    @classmethod
    def of(cls, conf: Config, sizes: Mapping[str, int], workers: Workers | None = None) -> "NetSpec":
        """From a model's configuration, the number of ids of each table, and the workers that train it."""
        owners = workers if conf.train.embeddings == "sharded" else None
        inputs = InputSpec(
            conf.layout,
            sizes,
            conf.net.embedding,
            tuple(conf.crosses),
            conf.net.interaction,
            owners,
            conf.net.embedding_dropout,
            conf.net.members,
        )
        return cls(named_tasks(conf), inputs, conf.net, conf.share)

    def for_task(self, task: str) -> "NetSpec":
        """The same for a single task."""
        return replace(self, tasks={task: self.tasks[task]})


@dataclass(frozen=True)
class Group:
    """Tasks that are trained together until none gets better, and the tasks whose samples they are trained on."""

    tasks: tuple[str, ...]
    samples: tuple[str, ...]


class Model(nn.Module):
    """A net that predicts every task.

    Tasks of different `groups` have no weight in common; each group is trained and stopped separately.
    """

    def __init__(self, spec: NetSpec) -> None:
        super().__init__()
        self.spec = spec
        self.tasks = spec.tasks
        self.members = spec.net.members
        self.groups: tuple[Group, ...] = (Group(tuple(spec.tasks), tuple(spec.tasks)),)
        self._task_masks: dict[str, Mask] = {}
        self.task_weights: dict[str, dict[str, Tensor]] = {}
        """Weights that a task has otherwise than the net's state says: those of its own best epoch."""

    @property
    def device(self) -> torch.device:
        """The device of all weights."""
        return next(self.parameters()).device

    @property
    def task_masks(self) -> dict[str, Mask]:
        """The masks of tasks that have a mask, on the net's device."""
        return self._task_masks

    @task_masks.setter
    def task_masks(self, masks: Mapping[str, Mask]) -> None:
        self._task_masks = {task: mask.to(self.device) for task, mask in masks.items()}

    @contextmanager
    def using_weights(self, task: str) -> Iterator[None]:
        """While it lasts, the net has the weights that the task has."""
        own = self.task_weights.get(task)
        if not own:
            yield
            return
        state = self.state_dict()
        shared = {name: state[name].clone() for name in own}
        try:
            self.load_state_dict(own, strict=False)
            yield
        finally:
            self.load_state_dict(shared, strict=False)

    def logits(self, features: Features, task: str) -> Tensor:
        """Inputs of a batch -> logits [members * batch], member by member (`ncs.nets.members`)."""
        raise NotImplementedError

    def member_probabilities(self, features: Features, task: str) -> Tensor:
        """Inputs of a batch -> each member's prediction [members * batch], within [0, 1]."""
        return torch.sigmoid(self.logits(features, task))

    def probability(self, features: Features, task: str) -> Tensor:
        """Inputs of a batch -> the task's prediction [batch], within [0, 1]: the mean of its members'."""
        return averaged(self.member_probabilities(features, task), self.members)

    def loss(self, batch: Batch, task: str) -> Tensor:
        """The loss of a batch of the task's samples, summed over its rows; the mean of its members' losses."""
        labels = repeated(batch.labels[task], self.members)
        return logit_loss(self.tasks[task], self.logits(batch.features, task), labels) / self.members

    def masks(self, task: str) -> Mapping[nn.Parameter, Tensor]:
        """Weight -> mask (0 or 1, of the weight's shape) of what a step of `task` may update; others are not masked."""
        return {}

    def subnetwork(self, task: str, member: int = 0) -> Subnetwork:
        """A member's subnetwork of the task, its mask and scales applied.

        Raises ExportError if it is not just inputs and FC layers.
        """
        raise ExportError(
            f"{type(self).__name__} has no subnetwork for {task} that is inputs and FC layers alone; export a model "
            f"that has: single_task, lottery_ticket, layer_share, full_share, or a masked one"
        )

    def size(self) -> int:
        """The number of parameters that some task uses."""
        used: dict[nn.Parameter, Tensor] = {}
        for task in self.tasks:
            for weight, mask in self.masks(task).items():
                used[weight] = torch.maximum(used[weight], mask) if weight in used else mask
        tables = {table.local_rows: table.rows * table.width for _, table in named_embeddings(self)}
        return sum(
            int(used[weight].sum()) if weight in used else tables.get(weight, weight.numel())
            for weight in self.parameters()
        )

    @torch.no_grad()
    def predict(self, features: Features) -> dict[str, Tensor]:
        """Inputs of a batch -> each task's prediction [batch], within [0, 1]."""
        return {task: self.probability(features, task) for task in self.tasks}


def differing(weights: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of `others` that differ from the weights of the same name."""
    return {name: other for name, other in others.items() if not torch.equal(weights[name], other)}


def logit_loss(task: Task, logits: Tensor, labels: Tensor) -> Tensor:
    """The task's weighted loss, summed over rows, of predictions that are sigmoids of `logits` [rows]."""
    if task.loss == "cross_entropy":
        return task.weight * F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    if task.loss == "focal":
        return task.weight * focal_loss(logits, labels).sum()
    return task.weight * F.mse_loss(torch.sigmoid(logits), labels, reduction="sum")


def focal_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Focal loss of each row: alpha (1 - p)^gamma times the cross entropy, p being the probability of the label.

    Lin et al., ICCV 2017; labels 0 weigh 1 - alpha. Labels between 0 and 1 mix the losses of both ends.
    """
    right = torch.sigmoid(logits)
    positive = FOCAL_ALPHA * (1 - right) ** FOCAL_GAMMA * F.softplus(-logits)
    negative = (1 - FOCAL_ALPHA) * right**FOCAL_GAMMA * F.softplus(logits)
    return labels * positive + (1 - labels) * negative
