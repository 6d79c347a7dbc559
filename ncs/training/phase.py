"""A phase of training, how far it has come, and its state after a whole epoch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ncs.nets.model import Model, differing


@dataclass(frozen=True)
class Phase:
    """A phase of training with a fresh optimiser: theta, a pruning round of a task, the joint training."""

    name: str
    tasks: tuple[str, ...]
    samples: tuple[str, ...]
    """The tasks whose samples it trains on: mostly `tasks` itself."""
    epochs: float
    round: int | None = None
    patience: int | None = None
    """Epochs in which no task gets better before it stops; None: train all epochs and keep the last weights."""
    kept: Mapping[str, int] | None = None
    """The epoch that each task's weights are kept of, where validation has chosen it before: nothing is validated."""

    @property
    def task(self) -> str | None:
        """The task, if there is only one."""
        return self.tasks[0] if len(self.tasks) == 1 else None

    @property
    def averaged(self) -> bool:
        """Whether its weights are averaged over its steps, where `train.average` says so: those of a final model."""
        return self.patience is not None or self.kept is not None

    @property
    def key(self) -> str:
        """The name of its files."""
        return "-".join(
            [
                self.name,
                *([self.task] if self.task else []),
                *([f"{self.round:02d}"] if self.round is not None else []),
            ]
        )


@dataclass
class Kept:
    """The epoch that a task's weights are kept of."""

    epoch: int
    score: float
    """Its validation figure, NaN where nothing was validated."""
    skill: float
    net: dict[str, Tensor] | None
    """The weights; None: those of the last epoch, which the net has."""


@dataclass
class Progress:
    """The progress of a phase, with the epoch kept for each task: a checkpoint needs no other file."""

    epoch: int = 0
    kept: dict[str, Kept] = field(default_factory=dict)

    def stale(self, patience: int | None) -> bool:
        """Whether no task got better in the last `patience` epochs."""
        newest = max((kept.epoch for kept in self.kept.values()), default=0)
        return patience is not None and newest > 0 and self.epoch - newest >= patience

    def leave_in(self, net: Model) -> None:
        """Leave the kept weights in the net: the first task's, and what the other tasks have otherwise."""
        weights = [kept.net for kept in self.kept.values() if kept.net is not None]
        if weights:
            net.load_state_dict(weights[0])
            net.task_weights |= {
                task: differing(weights[0], kept.net) for task, kept in self.kept.items() if kept.net is not None
            }


@dataclass(frozen=True)
class Checkpoint:
    """A phase after a whole epoch: state dicts of net and optimiser, progress."""

    net: dict[str, Tensor]
    optimizer: dict[str, Any]
    progress: Progress

    @classmethod
    def from_artefact(cls, saved: Mapping[str, Any]) -> "Checkpoint":
        """The checkpoint that `artefact` gave."""
        progress = saved["progress"]
        kept = {task: Kept(**values) for task, values in progress["kept"].items()}
        return cls(saved["net"], saved["optimizer"], Progress(progress["epoch"], kept))

    def artefact(self) -> dict[str, Any]:
        """The checkpoint as nested dicts, for `Store.save_checkpoint`."""
        kept = {task: vars(kept) for task, kept in self.progress.kept.items()}
        return {
            "net": self.net,
            "optimizer": self.optimizer,
            "progress": {"epoch": self.progress.epoch, "kept": kept},
        }
