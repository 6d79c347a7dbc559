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
    """A kind of model. `train` leaves the trained weights, and each task's mask if there are masks, in the model."""

    build: Callable[[NetSpec], M]
    train: Callable[[M, Trainer, Config], None] = train_groups


def model_type(conf: Config) -> ModelType[Any]:
    """What is declared of the one model of a configuration, as `Config.of_model` gives it."""
    (variant,) = conf.models.values()
    return importlib.import_module(f"ncs.models.{variant.module}").MODEL


def build(conf: Config, sizes: Mapping[str, int], seed: int, workers: Workers | None = None) -> Model:
    """The one model of a configuration, with weights drawn from `seed`; `sizes` are the ids of each field.

    `workers` train it; without them every table is whole, whatever `train.embeddings` says.
    """
    torch.manual_seed(seed)
    return model_type(conf).build(NetSpec.of(conf, sizes, workers))
