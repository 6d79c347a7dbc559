"""The training loop: batches of one task each, in a seeded order, with a checkpoint every epoch."""

import math
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ncs.config import Config, Train
from ncs.data_loading import Batch, Loader
from ncs.errors import TrainingError
from ncs.lake.documents import Epoch
from ncs.nets.model import Model
from ncs.training.artefact import is_shard
from ncs.training.cluster import Cluster
from ncs.training.hardware import autocast_to
from ncs.training.metrics import skill, validate
from ncs.training.optim import MaskedAdam
from ncs.training.store import Store

_REMEDY = "lower train.learning_rate, the weights of the last epoch are kept"


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
    """Epochs without a better score before it stops; None: train all epochs and keep the last weights."""

    @property
    def task(self) -> str | None:
        """The task, if there is only one."""
        return self.tasks[0] if len(self.tasks) == 1 else None

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
class Progress:
    """How far a phase has come."""

    epoch: int = 0
    best: float = -math.inf
    best_epoch: int = 0
    best_net: dict[str, Tensor] | None = None
    """The weights of the best epoch, if the phase ends with them: a checkpoint needs no other file."""
    scores: dict[str, float] = field(default_factory=dict)

    def stale(self, patience: int | None) -> bool:
        """Whether the last `patience` epochs were no better than the best one."""
        return patience is not None and self.epoch - self.best_epoch >= patience and self.best_epoch > 0


@dataclass(frozen=True)
class Checkpoint:
    """A phase after a whole epoch: state dicts of net and optimiser, progress."""

    net: dict[str, Tensor]
    optimizer: dict[str, Any]
    progress: Progress

    @classmethod
    def from_artefact(cls, saved: Mapping[str, Any]) -> "Checkpoint":
        """The checkpoint that `artefact` gave."""
        return cls(saved["net"], saved["optimizer"], Progress(**saved["progress"]))

    def artefact(self) -> dict[str, Any]:
        """As nested dicts, for `Store.save_checkpoint`."""
        return {"net": self.net, "optimizer": self.optimizer, "progress": vars(self.progress)}


class TrainedEpoch(NamedTuple):
    """An epoch over the training rows: mean loss of each task, rows, the share of the time spent waiting for data."""

    loss: dict[str, float]
    samples: int
    wait_share: float


@dataclass
class Trainer:
    """What all phases of a model have in common: loaders by task, workers, the store of artefacts and metrics."""

    conf: Train
    loaders: Mapping[str, Loader]
    validation: Mapping[str, Loader]
    cluster: Cluster
    store: Store
    label_variance: Mapping[str, float]
    quiet: bool = True

    def for_subgroup(self, subgroup: Cluster) -> "Trainer":
        """The same for a subgroup of the workers: all rows in the same global batches, sharded over these alone."""
        loaders, validation = (
            {task: loader.resharded(subgroup.rank, subgroup.size) for task, loader in loaders.items()}
            for loaders in (self.loaders, self.validation)
        )
        store = self.store.for_subgroup(subgroup)
        return replace(self, loaders=loaders, validation=validation, cluster=subgroup, store=store)

    def fit(self, net: Model, phase: Phase) -> dict[str, float]:
        """Train `net` for a phase from its current weights; leave in it the weights of the best epoch, or of the last.

        An interrupted phase resumes after its last whole epoch, with the same result. Returns the validation figures
        (`ctr_auc`, `cvr_mse`) of the epoch that was kept, for the phase's tasks.
        """
        optimizer = MaskedAdam(
            net,
            self.cluster,
            self.conf.learning_rate,
            self.conf.embedding_learning_rate,
            self.conf.weight_decay,
            self.conf.embedding_optimizer,
        )
        self.cluster.broadcast(weight for name, weight in net.state_dict().items() if not is_shard(name))
        progress = self._resume(net, optimizer, phase)
        while progress.epoch < phase.epochs and not progress.stale(phase.patience):
            self._epoch(net, optimizer, phase, progress)
        if progress.best_net is not None:
            net.load_state_dict(progress.best_net)
        return progress.scores

    def _resume(self, net: Model, optimizer: MaskedAdam, phase: Phase) -> Progress:
        saved = self.store.newest_checkpoint(phase.key)
        if saved is None:
            return Progress()
        checkpoint = Checkpoint.from_artefact(saved)
        net.load_state_dict(checkpoint.net)
        optimizer.load_state_dict(checkpoint.optimizer)
        return checkpoint.progress

    def _epoch(self, net: Model, optimizer: MaskedAdam, phase: Phase, progress: Progress) -> None:
        started = time.monotonic()
        trained = self.train_epoch(net, optimizer, phase, progress.epoch)
        scores = {
            net.tasks[task].score: validate(net, task, self.validation[task], self.cluster) for task in phase.tasks
        }
        _check_finite(net, scores, phase)
        progress.epoch += 1
        total = sum(
            skill(net.tasks[task], scores[net.tasks[task].score], self.label_variance[task]) for task in phase.tasks
        )
        if phase.patience is None or total > progress.best:
            progress.best, progress.best_epoch, progress.scores = total, progress.epoch, scores
            if phase.patience is not None:
                progress.best_net = {name: weight.clone() for name, weight in net.state_dict().items()}
        subgroups = self.cluster.subgroups
        self.store.log(
            Epoch(
                phase=phase.name,
                task=phase.task,
                round=phase.round,
                epoch=progress.epoch,
                workers=self.cluster.size * subgroups,
                subgroup=self.cluster.subgroup_number if subgroups > 1 else None,
                device=net.device.type,
                validation=scores,
                skill=total,
                seconds=time.monotonic() - started,
                **trained._asdict(),
            )
        )
        if phase.epochs > 1:
            checkpoint = Checkpoint(net.state_dict(), optimizer.state_dict(), progress)
            self.store.save_checkpoint(phase.key, progress.epoch, checkpoint.artefact())

    def train_epoch(self, net: Model, optimizer: MaskedAdam, phase: Phase, epoch: int) -> TrainedEpoch:
        """One epoch, or the fraction of one that a phase with a fractional number of epochs ends with."""
        number = zlib.crc32(phase.key.encode()) + epoch  # another order in every phase
        torch.manual_seed(self.conf.seed + number)  # a net's random draws are the same on every worker
        net.train()
        batches = {task: self.loaders[task].epoch(number) for task in phase.samples}
        order = self._order(phase, number)
        order = order[: math.ceil(len(order) * min(1.0, phase.epochs - epoch))]
        losses: dict[str, Any] = dict.fromkeys(phase.samples, 0.0)
        rows = dict.fromkeys(phase.samples, 0)
        waited, started = 0.0, time.monotonic()
        for task in self._bar(order, phase, epoch):
            requested = time.monotonic()
            batch = next(batches[task])
            waited += time.monotonic() - requested
            losses[task] += self._step(net, optimizer, task, batch)
            rows[task] += batch.total
        summed = {task: _finite(float(loss), task) for task, loss in losses.items()}
        wait_share = waited / max(time.monotonic() - started, 1e-9)
        return TrainedEpoch(self._mean_losses(summed, rows), sum(rows.values()), wait_share)

    def _step(self, net: Model, optimizer: MaskedAdam, task: str, batch: Batch) -> float | Tensor:
        with autocast_to(self.conf.precision, batch.features.device):
            loss = net.loss(batch, task) / batch.total
        loss.backward()
        optimizer.step(net.masks(task))
        # A GPU's loss is not waited for in each step: one that is not finite shows in the sum at the epoch's end.
        value = _finite(loss.item(), task) if loss.is_cpu else loss.detach().double()
        return value * batch.total

    def _order(self, phase: Phase, number: int) -> list[str]:
        """The task of each step's batch: all batches of all tasks, shuffled (Algorithm 1, line 15)."""
        order = [task for task in phase.samples for _ in range(self.loaders[task].steps)]
        shuffled = np.random.default_rng([self.conf.seed, number]).permutation(len(order))
        return [order[n] for n in shuffled]

    def _mean_losses(self, losses: dict[str, float], rows: dict[str, int]) -> dict[str, float]:
        summed = self.cluster.sum(torch.tensor([losses[task] for task in losses], dtype=torch.float64))
        return {task: float(loss) / max(rows[task], 1) for task, loss in zip(losses, summed, strict=True)}

    def _bar(self, order: list[str], phase: Phase, epoch: int) -> Iterator[str]:
        hidden = True if self.quiet or self.cluster.rank else None  # None: hidden unless in a terminal
        return iter(tqdm(order, desc=f"{phase.key} epoch {epoch + 1}", unit="batch", disable=hidden, leave=False))


def _finite(loss: float, task: str) -> float:
    """The loss itself. Raises TrainingError if it is NaN or infinite."""
    if not math.isfinite(loss):
        raise TrainingError(f"the {task} loss became {loss}; {_REMEDY}")
    return loss


def _check_finite(net: Model, scores: Mapping[str, float], phase: Phase) -> None:
    """Raise TrainingError before an epoch is kept: a loss can be finite while the step after it is not."""
    weights = [name for name, weight in net.state_dict().items() if not weight.isfinite().all()]
    if weights or not all(map(math.isfinite, scores.values())):
        problem = f"{weights[0]} has values that are not finite" if weights else f"validation gives {scores}"
        raise TrainingError(
            f"{phase.key}: {problem}; lower train.learning_rate, the weights of the last epoch are kept"
        )


def train_groups(net: Model, trainer: Trainer, conf: Config) -> None:
    """Train a model's groups of tasks one after another: the default of a `ModelType`."""
    for group in net.groups:
        trainer.fit(net, Phase("joint", group.tasks, group.samples, conf.train.epochs, patience=conf.train.patience))
