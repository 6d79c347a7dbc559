"""The models of the catalogue, a module each, named as `train.models` names it; each declares its `MODEL`."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

from ncs.config import Config
from ncs.nets.embedding import Workers
from ncs.nets.model import Model, NetSpec
from ncs.training.loop import Trainer, train_groups

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class ModelType(Generic[M]):
    """How a model is built and trained. `train` leaves the trained weights, and the tasks' masks, in the model."""

    build: Callable[[NetSpec], M]
    train: Callable[[M, Trainer, Config], None] = train_groups
    of_others: bool = False
    """Whether it is made of other models, which it takes as they are where its run has trained them before."""


def model_type(conf: Config) -> ModelType[Any]:
    """The `MODEL` of a configuration for a single model, as from `Config.for_model`."""
    (variant,) = conf.models.values()
    return importlib.import_module(f"ncs.models.{variant.module}").MODEL


def build(conf: Config, sizes: Mapping[str, int], seed: int, workers: Workers | None = None) -> Model:
    """The model of such a configuration, with weights drawn from `seed`; `sizes` are the numbers of ids by table.

    Without `workers` that train it no table is sharded, whatever `train.embeddings` is.
    """
    torch.manual_seed(seed)
    return model_type(conf).build(NetSpec.of(conf, sizes, workers))
