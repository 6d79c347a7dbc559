"""What a module of the catalogue declares: how its model is built, and how it is trained."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ncs.config import Config
from ncs.nets.model import Model, NetSpec
from ncs.training.loop import Trainer, train_groups

M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class ModelType(Generic[M]):
    """A kind of model. `train` leaves the trained weights, and each task's mask if there are masks, in the model."""

    build: Callable[[NetSpec], M]
    train: Callable[[M, Trainer, Config], None] = train_groups
