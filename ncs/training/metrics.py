"""Validation figures over all workers' shards."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from ncs.data_loading import Loader
from ncs.nets.model import Model
from ncs.tasks import Task
from ncs.training.cluster import Cluster


@torch.no_grad()
def predictions(model: Model, task: str, loader: Loader) -> Iterable[tuple[Tensor, Tensor]]:
    """Labels and predictions of a task, batch by batch."""
    model.eval()
    for batch in loader.epoch(0):
        yield batch.labels[task], model.probability(batch.features, task)


class Validated(NamedTuple):
    """A task's validation figure, and the range of its predictions."""

    score: float
    lowest: float
    highest: float


def validated(model: Model, task: str, loader: Loader, cluster: Cluster) -> Validated:
    """A task on the validation rows of all workers: the same numbers on each of them."""
    shard = (torch.cat(batches).cpu() for batches in zip(*predictions(model, task, loader), strict=True))
    labels, scores = (cluster.all_gather(values).numpy() for values in shard)
    return Validated(model.tasks[task].measure.figure(labels, scores), float(scores.min()), float(scores.max()))


def validate(model: Model, task: str, loader: Loader, cluster: Cluster) -> float:
    """The validation figure of a task."""
    return validated(model, task, loader, cluster).score


def skill(task: Task, score: float, label_variance: float) -> float:
    """A figure on a common scale: 0 for a constant prediction, 1 for a perfect one."""
    return task.measure.skill(score, label_variance)
