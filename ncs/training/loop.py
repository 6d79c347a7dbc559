"""The training loop: batches of one task each, in a seeded order, checkpointed every epoch."""

import math
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ncs.config import Config, Train
from ncs.data_loading import Batch, Loader
from ncs.errors import TrainingError
from ncs.nets.model import Model
from ncs.training.artefact import is_shard
from ncs.training.cluster import Cluster
from ncs.training.hardware import computing_in
from ncs.training.metrics import skill, validate
from ncs.training.optim import MaskedAdam
from ncs.training.store import Store


@dataclass(frozen=True)
class Phase:
    """A stretch of training that starts with a fresh optimiser: theta, a pruning round of a task, the joint one."""

    name: str
    tasks: tuple[str, ...]
    samples: tuple[str, ...]
    """The tasks whose samples it draws: mostly `tasks` itself."""
    epochs: float
    round: int | None = None
    patience: int | None = None
    """Epochs without a better score before it stops; None trains to the end and keeps the last weights."""

    @property
    def task(self) -> str | None:
        """The task, where it is one alone."""
        return self.tasks[0] if len(self.tasks) == 1 else None

    @property
    def key(self) -> str:
        """What its files are called."""
        return "-".join(
            [
                self.name,
                *([self.task] if self.task else []),
                *([f"{self.round:02d}"] if self.round is not None else []),
            ]
        )


@dataclass
class _Progress:
    """How far a phase is; stored in its checkpoint."""

    epoch: int = 0
    best: float = -math.inf
    best_epoch: int = 0
    best_net: dict[str, Tensor] | None = None
    """The weights of the best epoch, where a phase ends with these: a checkpoint is whole without other files."""
    scores: dict[str, float] = field(default_factory=dict)

    def stale(self, patience: int | None) -> bool:
        return patience is not None and self.epoch - self.best_epoch >= patience and self.best_epoch > 0


@dataclass
class Trainer:
    """Everything a phase needs but the phase itself: the loaders of each task, the workers, where results are kept."""

    conf: Train
    loaders: Mapping[str, Loader]
    validation: Mapping[str, Loader]
    cluster: Cluster
    store: Store
    label_variance: Mapping[str, float]
    quiet: bool = True

    def for_subgroup(self, part: Cluster) -> "Trainer":
        """The same for a part of the workers: all rows in the same global batches, shared out among these alone."""
        loaders, validation = (
            {task: loader.resharded(part.rank, part.size) for task, loader in loaders.items()}
            for loaders in (self.loaders, self.validation)
        )
        return replace(self, loaders=loaders, validation=validation, cluster=part, store=self.store.part(part))

    def fit(self, net: Model, phase: Phase) -> dict[str, float]:
        """Train `net` for a phase from the weights it has; end with the best epoch's weights, or the last's.

        An interrupted phase goes on after its last whole epoch and ends as if nothing had happened. Returns the
        validation figures (`ctr_auc`, `cvr_mse`) of the epoch that was kept, for the phase's tasks.
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

    def _resume(self, net: Model, optimizer: MaskedAdam, phase: Phase) -> _Progress:
        saved = self.store.newest_checkpoint(phase.key)
        if saved is None:
            return _Progress()
        net.load_state_dict(saved["net"])
        optimizer.load_state_dict(saved["optimizer"])
        return _Progress(**saved["progress"])

    def _epoch(self, net: Model, optimizer: MaskedAdam, phase: Phase, progress: _Progress) -> None:
        started = time.monotonic()
        facts = self.train_epoch(net, optimizer, phase, progress.epoch)
        scores = {
            net.tasks[task].score: validate(net, task, self.validation[task], self.cluster) for task in phase.tasks
        }
        _check_finite(net, scores, phase)
        progress.epoch += 1
        whole = sum(
            skill(net.tasks[task], scores[net.tasks[task].score], self.label_variance[task]) for task in phase.tasks
        )
        if phase.patience is None or whole > progress.best:
            progress.best, progress.best_epoch, progress.scores = whole, progress.epoch, scores
            if phase.patience is not None:
                progress.best_net = {name: weight.clone() for name, weight in net.state_dict().items()}
        entry = {"phase": phase.name, "task": phase.task, "round": phase.round, "epoch": progress.epoch}
        parts, number = self.cluster.parts, self.cluster.number
        entry |= {"workers": self.cluster.size * parts, "part": number if parts > 1 else None}
        entry |= {"device": net.device.type}
        self.store.log({**entry, "validation": scores, "skill": whole, "seconds": time.monotonic() - started, **facts})
        if phase.epochs > 1:
            state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "progress": vars(progress)}
            self.store.save_checkpoint(phase.key, progress.epoch, state)

    def train_epoch(self, net: Model, optimizer: MaskedAdam, phase: Phase, epoch: int) -> dict[str, Any]:
        """One epoch, or the part of it that a phase of a broken number of epochs ends with.

        Returns each task's mean loss, the samples, and the share of the time that it waited for data.
        """
        number = zlib.crc32(phase.key.encode()) + epoch  # another order in every phase
        torch.manual_seed(self.conf.seed + number)  # what a net draws while it trains is the same on every worker
        net.train()
        batches = {task: self.loaders[task].epoch(number) for task in phase.samples}
        order = self._order(phase, number)
        order = order[: math.ceil(len(order) * min(1.0, phase.epochs - epoch))]
        losses: dict[str, Any] = dict.fromkeys(phase.samples, 0.0)
        rows = dict.fromkeys(phase.samples, 0)
        waited, started = 0.0, time.monotonic()
        for task in self._bar(order, phase, epoch):
            asked = time.monotonic()
            batch = next(batches[task])
            waited += time.monotonic() - asked
            losses[task] += self._step(net, optimizer, task, batch)
            rows[task] += batch.total
        summed = {task: _finite(float(loss), task) for task, loss in losses.items()}
        return {
            "loss": self._mean_losses(summed, rows),
            "samples": sum(rows.values()),
            "wait_share": waited / max(time.monotonic() - started, 1e-9),
        }

    def _step(self, net: Model, optimizer: MaskedAdam, task: str, batch: Batch) -> float | Tensor:
        with computing_in(self.conf.precision, batch.ids.device):
            loss = net.loss(batch, task) / batch.total
        loss.backward()
        optimizer.step(net.masks(task))
        # On a GPU nobody waits for a step's loss: one that is not finite stays in the sum, until the epoch's end.
        value = _finite(loss.item(), task) if loss.is_cpu else loss.detach().double()
        return value * batch.total

    def _order(self, phase: Phase, number: int) -> list[str]:
        """Which task each step's batch is of: all batches of all tasks, shuffled (Algorithm 1, line 15)."""
        order = [task for task in phase.samples for _ in range(self.loaders[task].steps)]
        shuffled = np.random.default_rng([self.conf.seed, number]).permutation(len(order))
        return [order[n] for n in shuffled]

    def _mean_losses(self, losses: dict[str, float], rows: dict[str, int]) -> dict[str, float]:
        summed = self.cluster.sum(torch.tensor([losses[task] for task in losses], dtype=torch.float64))
        return {task: float(loss) / max(rows[task], 1) for task, loss in zip(losses, summed, strict=True)}

    def _bar(self, order: list[str], phase: Phase, epoch: int) -> Iterator[str]:
        hidden = True if self.quiet or self.cluster.rank else None  # None: unless a terminal watches
        return iter(tqdm(order, desc=f"{phase.key} epoch {epoch + 1}", unit="batch", disable=hidden, leave=False))


def _finite(loss: float, task: str) -> float:
    """The loss itself. Raises TrainingError if it is NaN or infinite."""
    if not math.isfinite(loss):
        raise TrainingError(
            f"the {task} loss became {loss}; lower train.learning_rate, the weights of the last epoch are kept"
        )
    return loss


def _check_finite(net: Model, scores: Mapping[str, float], phase: Phase) -> None:
    """Before an epoch is kept: a loss can be finite while the step after it is not."""
    weights = [name for name, weight in net.state_dict().items() if not weight.isfinite().all()]
    if weights or not all(map(math.isfinite, scores.values())):
        found = f"{weights[0]} holds values that are not finite" if weights else f"validation gives {scores}"
        raise TrainingError(f"{phase.key}: {found}; lower train.learning_rate, the weights of the last epoch are kept")


def train_groups(net: Model, trainer: Trainer, conf: Config) -> None:
    """Train a model's groups of tasks one after another: what a module of `ncs.models` gets by default."""
    for group in net.groups:
        trainer.fit(net, Phase("joint", group.tasks, group.samples, conf.train.epochs, patience=conf.train.patience))
