"""Validation figures over all workers' shards."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
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
    """A task's validation rows of all workers, float32 [rows] each."""

    labels: np.ndarray
    predictions: np.ndarray

    def figure(self, task: Task) -> float:
        """The figure that the task is judged by."""
        return task.measure.figure(self.labels, self.predictions)

    def artefact(self) -> dict[str, Tensor]:
        """As tensors, for a `Store`."""
        return {"labels": torch.from_numpy(self.labels), "predictions": torch.from_numpy(self.predictions)}

    @classmethod
    def from_artefact(cls, saved: Mapping[str, Tensor]) -> "Validated":
        """The rows that `artefact` gave."""
        return cls(saved["labels"].numpy(), saved["predictions"].numpy())


def validated(model: Model, task: str, loader: Loader, cluster: Cluster) -> Validated:
    """A task's validation rows and predictions, of all workers and the same on each of them."""
    shard = (torch.cat(batches).cpu() for batches in zip(*predictions(model, task, loader), strict=True))
    return Validated(*(cluster.all_gather(values).numpy() for values in shard))


def validate(model: Model, task: str, loader: Loader, cluster: Cluster) -> float:
    """The validation figure of a task."""
    return validated(model, task, loader, cluster).figure(model.tasks[task])
