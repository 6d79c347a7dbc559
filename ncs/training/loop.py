"""The training loop: batches of one task each, in a seeded order, with a checkpoint every epoch."""

import math
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
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
from ncs.training.metrics import validate, validated
from ncs.training.optim import MaskedAdam
from ncs.training.phase import Checkpoint, Kept, Phase, Progress
from ncs.training.store import Store, optimizer_key, validation_key

_EVERY = 10.0
"""Seconds between two lines of progress, at least: not every short epoch gets one."""
_REMEDY = "lower train.learning_rate, the weights of the last epoch are kept"


class TrainedEpoch(NamedTuple):
    """An epoch over the training rows: mean loss of each task, rows, the share of the time spent waiting for data."""

    loss: dict[str, float]
    samples: int
    wait_share: float


@dataclass
class Trainer:
    """The plain training loop that all phases of a model run through."""

    conf: Train
    loaders: Mapping[str, Loader]
    validation: Mapping[str, Loader]
    cluster: Cluster
    store: Store
    label_variance: Mapping[str, float]
    refit_loaders: Mapping[str, Loader] | None = None
    """Training and validation rows together, for `train.refit`."""
    title: str = ""
    """The model, as progress names it."""
    quiet: bool = True
    """Without a progress bar."""
    report: Callable[[str], None] | None = None
    """Takes a line of progress after an epoch, where nobody watches a bar."""
    _reported_at: float = field(default_factory=time.monotonic)
    finished: Mapping[str, Store] = field(default_factory=dict)
    """Models of the run that are trained already, with the same keys as this one, by module: one made of them takes
    them as they are."""
    keeps_state: bool = False
    """Whether the optimiser's state at the end of a final model is stored, for a run that goes on from this one."""

    def for_subgroup(self, subgroup: Cluster) -> "Trainer":
        """The same for a subgroup of the workers: all rows in the same global batches, sharded over these alone."""
        loaders, validation = (
            {task: loader.resharded(subgroup.rank, subgroup.size) for task, loader in loaders.items()}
            for loaders in (self.loaders, self.validation)
        )
        store = self.store.for_subgroup(subgroup)
        return replace(self, loaders=loaders, validation=validation, cluster=subgroup, store=store)

    def on_all_rows(self) -> "Trainer":
        """The same on training and validation rows together."""
        assert self.refit_loaders is not None
        return replace(self, loaders=self.refit_loaders)

    def fit(self, net: Model, phase: Phase, state: Mapping[str, Any] | None = None) -> dict[str, Kept]:
        """Train `net` for a phase from its current weights, and leave in it what is kept, for each task.

        That is, by the phase, the task's best epoch, the epoch that it names, or the last one; the paper's lines 19
        and 20 take a model for each task. An interrupted phase resumes after its last whole epoch, with the same
        result. `state`: of an earlier run's optimiser, to go on from. Returns what was kept.
        """
        rows = self.conf.batch_size * sum(self.loaders[task].steps for task in phase.samples)
        optimizer = MaskedAdam(
            net,
            self.cluster,
            self.conf.learning_rate,
            self.conf.embedding_learning_rate,
            self.conf.weight_decay,
            self.conf.embedding_optimizer,
            self.conf.embedding_weight_decay,
            self.conf.embedding_l2 / rows,
            self.conf.average if phase.averaged else 0.0,
        )
        self.cluster.broadcast(weight for name, weight in net.state_dict().items() if not is_shard(name))
        if state is not None:
            optimizer.load_state_dict(state)
        progress = self._resume(net, optimizer, phase)
        while progress.epoch < phase.epochs and not progress.stale(phase.patience):
            self._epoch(net, optimizer, phase, progress)
        progress.leave_in(net)
        if self.keeps_state and phase.averaged:
            self.store.save(optimizer_key(phase.tasks), optimizer.moments())
        return progress.kept

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
        progress.epoch += 1
        judged = () if phase.kept else phase.tasks
        with optimizer.average.in_place() if optimizer.average else nullcontext():
            scores = {task: validate(net, task, self.validation[task], self.cluster) for task in judged}
            _check_finite(net, scores, phase)
            variance = self.label_variance
            skills = {task: net.tasks[task].measure.skill(score, variance[task]) for task, score in scores.items()}
            self._keep(net, phase, progress, scores, skills)
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
                validation={net.tasks[task].score: score for task, score in scores.items()},
                skill=sum(skills.values(), 0.0),
                seconds=time.monotonic() - started,
                **trained._asdict(),
            )
        )
        self._report(phase, progress.epoch, trained.loss, time.monotonic() - started)
        if phase.epochs > 1:
            checkpoint = Checkpoint(net.state_dict(), optimizer.state_dict(), progress)
            self.store.save_checkpoint(phase.key, progress.epoch, checkpoint.artefact())

    def _report(self, phase: Phase, epoch: int, loss: Mapping[str, float], seconds: float) -> None:
        if self.report is None or self.cluster.rank or time.monotonic() < self._reported_at + _EVERY:
            return
        self._reported_at = time.monotonic()
        losses = ", ".join(f"{task} {value:.4f}" for task, value in loss.items())
        of = math.ceil(phase.epochs)
        self.report(
            f"train: {self.title}, {phase.key} epoch {epoch}/{of}: loss {losses}; {seconds:.1f} s an epoch, at most "
            f"{seconds * (of - epoch):.0f} s to its end"
        )

    def _keep(
        self, net: Model, phase: Phase, progress: Progress, scores: Mapping[str, float], skills: Mapping[str, float]
    ) -> None:
        """Keep the epoch that has just ended for the tasks that it is the best of, or the named or last one."""
        if phase.kept is not None:
            tasks = [task for task in phase.tasks if progress.epoch == phase.kept[task]]
        else:
            before = {task: kept.skill for task, kept in progress.kept.items()} if phase.patience is not None else {}
            tasks = [task for task in phase.tasks if skills[task] > before.get(task, -math.inf)]
        last = phase.patience is None and phase.kept is None
        weights = None if last or not tasks else {name: weight.clone() for name, weight in net.state_dict().items()}
        for task in tasks:
            score, gained = scores.get(task, math.nan), skills.get(task, math.nan)
            progress.kept[task] = Kept(progress.epoch, score, gained, weights)

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
        optimizer.step(net.masks(task) if self.conf.masked_state else {})
        # A GPU's loss is not waited for in each step: one that is not finite shows in the sum at the epoch's end.
        value = _finite(loss.item(), task) if loss.is_cpu else loss.detach().double()
        return value * batch.total

    def _order(self, phase: Phase, number: int) -> list[str]:
        """The task of each step's batch: all batches of all tasks, shuffled (Algorithm 1, line 15), or in turns."""
        if self.conf.order == "alternate":
            turns = ((n, task) for task in phase.samples for n in range(self.loaders[task].steps))
            return [task for _, task in sorted(turns, key=lambda turn: turn[0])]
        order = [task for task in phase.samples for _ in range(self.loaders[task].steps)]
        shuffled = np.random.default_rng([self.conf.seed, number]).permutation(len(order))
        return [order[n] for n in shuffled]

    def _mean_losses(self, losses: dict[str, float], rows: dict[str, int]) -> dict[str, float]:
        summed = self.cluster.sum(torch.tensor([losses[task] for task in losses], dtype=torch.float64))
        return {task: float(loss) / max(rows[task], 1) for task, loss in zip(losses, summed, strict=True)}

    def _bar(self, order: list[str], phase: Phase, epoch: int) -> Iterator[str]:
        hidden = True if self.quiet or self.cluster.rank else None  # None: hidden unless in a terminal
        desc = f"{self.title} {phase.key} epoch {epoch + 1}/{math.ceil(phase.epochs)}".lstrip()
        return iter(tqdm(order, desc=desc, unit="batch", disable=hidden, leave=False))


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
    """Train a model's groups of tasks one after another: the default of a `ModelType`.

    With `train.refit` each is trained again from the same start on all training days, for the epochs that validation
    has chosen.
    """
    for group in net.groups:
        start = {name: weight.clone() for name, weight in net.state_dict().items()}
        joint = Phase("joint", group.tasks, group.samples, conf.train.epochs, patience=conf.train.patience)
        kept = {task: kept.epoch for task, kept in trainer.fit(net, joint).items()}
        record_validation(net, trainer, group.tasks)
        if conf.train.refit:
            net.load_state_dict(start)
            refit = Phase("refit", group.tasks, group.samples, max(kept.values()), kept=kept)
            trainer.on_all_rows().fit(net, refit)


def record_validation(net: Model, trainer: Trainer, tasks: Sequence[str]) -> None:
    """Store labels and predictions of the validation rows, by which the tasks are judged and calibrated.

    Before a refit: the refitted weights have learnt from these rows.
    """
    for task in tasks:
        with net.using_weights(task):
            rows = validated(net, task, trainer.validation[task], trainer.cluster)
        trainer.store.save(validation_key(task), rows.artefact())
