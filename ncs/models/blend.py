"""A net and LightGBM's trees on the same rows, their predictions averaged: they err on other rows.

The net is another model of the catalogue, `net.blend`, and is trained as that is, masks and all; the trees are those of
`gbdt`. A task's prediction is `share * net + (1 - share) * trees`, with the share in [0, 1] that has the least squared
error on the validation rows (stacking: Wolpert 1992, Breiman 1996), which is a proper score of clicks too.
"""

import importlib
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ncs.config import Config
from ncs.data_loading import Features
from ncs.models import ModelType, gbdt
from ncs.nets.layers import Subnetwork
from ncs.nets.model import Model, NetSpec
from ncs.pruning.mask import Mask
from ncs.training.loop import Trainer
from ncs.training.metrics import Validated
from ncs.training.store import validation_key


class Blend(Model):
    """A net, trees, and the share of the net in each task's prediction."""

    def __init__(self, spec: NetSpec, net: Model, trees: gbdt.Gbdt) -> None:
        super().__init__(spec)
        self.net, self.trees, self.groups = net, trees, net.groups
        self.register_buffer("shares", torch.full([len(spec.tasks)], 0.5))
        self.shares: Tensor

    @property
    def task_masks(self) -> dict[str, Mask]:
        """Those of the net."""
        return self.net.task_masks

    @task_masks.setter
    def task_masks(self, masks: Mapping[str, Mask]) -> None:
        self.net.task_masks = dict(masks)

    def probability(self, features: Features, task: str) -> Tensor:
        """The weighted mean of net and trees."""
        share = self.shares[list(self.tasks).index(task)]
        return torch.lerp(self.trees.probability(features, task), self.net.probability(features, task), share)

    def logits(self, features: Features, task: str) -> Tensor:
        """The logits of the predictions."""
        return torch.logit(self.probability(features, task), eps=1e-6)

    def masks(self, task: str) -> Mapping[nn.Parameter, Tensor]:
        """Those of the net."""
        return self.net.masks(task)

    def subnetwork(self, task: str, member: int = 0) -> Subnetwork:
        """Trees are no network. Raises ExportError."""
        return self.trees.subnetwork(task, member)

    def size(self) -> int:
        """The net's parameters, and the leaves of all trees."""
        return super().size() + self.trees.size()


def build(spec: NetSpec) -> Blend:
    """Net and trees of the same inputs."""
    return Blend(spec, _model_type(spec.net.blend).build(spec), gbdt.Gbdt(spec))


def train(blend: Blend, trainer: Trainer, conf: Config) -> None:
    """Train the trees, then the net, each as it is trained alone; then choose the shares by the validation rows."""
    by_trees = _train("gbdt", blend.trees, trainer, conf)
    by_net = _train(conf.net.blend, blend.net, trainer, conf)
    blend.task_weights = {
        task: {f"net.{name}": weight for name, weight in own.items()} for task, own in blend.net.task_weights.items()
    }
    for n, (task, trees) in enumerate(by_trees.items()):
        net = by_net[task]
        share = best_share(net.predictions, trees.predictions, net.labels)
        blend.shares[n] = share
        both = Validated(net.labels, share * net.predictions + (1 - share) * trees.predictions)
        trainer.store.save(validation_key(task), both.artefact())


def best_share(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> float:
    """The share of the first of two predictions, float [rows], whose weighted mean has the least squared error."""
    apart = (first - second).astype(float)
    squared = float(apart @ apart)
    return float(np.clip(apart @ (labels - second) / squared, 0, 1)) if squared else 0.5


def _train(module: str, part: Model, trainer: Trainer, conf: Config) -> dict[str, Validated]:
    """Train a part, or take it from the run where it is trained already; returns each task's validation rows."""
    finished = trainer.finished.get(module)
    if finished is None:
        _model_type(module).train(part, trainer, conf)
    else:
        artefact = finished.load("model")
        part.load_state_dict(artefact["net"])
        part.task_masks = {task: Mask(layers) for task, layers in artefact["masks"].items()}
        part.task_weights = artefact["task_weights"]
        trainer.store.take(finished)
    store = finished or trainer.store
    return {task: Validated.from_artefact(store.load(validation_key(task))) for task in part.tasks}


def _model_type(module: str) -> ModelType[Any]:
    return cast(ModelType[Any], importlib.import_module(f"ncs.models.{module}").MODEL)


MODEL = ModelType(build, train, of_others=True)
