"""Training the models of a run: loaders of its samples, a trainer for each model, the facts that a model leaves."""

import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from ncs.config import Config, Role
from ncs.data_loading import TableLoader
from ncs.errors import TrainingError
from ncs.lake.documents import Epoch, Facts, TaskFacts
from ncs.models import build, model_type
from ncs.models.gbdt import Columns
from ncs.nets.model import Model, NetSpec
from ncs.runs.run import Run, field_sizes
from ncs.runs.warm_start import Parent
from ncs.soundness import judge, unsound
from ncs.tasks import named_tasks
from ncs.training.artefact import TrainedModel
from ncs.training.cluster import Cluster
from ncs.training.hardware import available_cores, keep_freed_memory, select_device
from ncs.training.loop import Trainer
from ncs.training.metrics import Validated
from ncs.training.store import Store, validation_key

_log = logging.getLogger(__name__)
LEARNT_FROM: tuple[Role, Role] = ("train", "validation")


def train(run: Run, cluster: Cluster, say: Callable[[str], None], quiet: bool) -> None:
    """Train the pending models of a run, one after the other."""
    training = Training(run, cluster, say, quiet)
    for name in in_order(run):
        training.train(name)


def in_order(run: Run) -> list[str]:
    """The pending models of a run, those that are made of others last."""
    return sorted(run.pending(), key=lambda name: model_type(run.conf.for_model(name)).of_others)


class Training:
    """Training of a run's models, on its rows, which are decoded once, and the workers."""

    def __init__(self, run: Run, cluster: Cluster, say: Callable[[str], None], quiet: bool) -> None:
        conf = run.conf
        torch.set_num_threads(conf.train.threads or cluster.cores or available_cores())
        keep_freed_memory()
        self._run, self._cluster, self._say, self._quiet = run, cluster, say, quiet
        self._device = select_device(conf.train.device, cluster.local_rank)
        self._loaders, self._validation = (_loaders(run, cluster, role, self._device) for role in LEARNT_FROM)
        self._parent = None if run.parent is None else Parent(run.lake, run.parent)
        refits = conf.train.refit and self._parent is None
        self._all_rows = _loaders(run, cluster, "refit", self._device) if refits else None
        self._sizes = field_sizes(run)
        for name in filter(conf.has_trees, run.pending()):
            Columns(NetSpec.of(conf.for_model(name), self._sizes))  # raised before any model has taken its time
        self._variance = {task: _variance(task, loader, cluster) for task, loader in self._validation.items()}

    def train(self, name: str) -> None:
        """Train a model and keep it; an interrupted one goes on from its last epoch."""
        started = time.monotonic()
        run, cluster, parent = self._run, self._cluster, self._parent
        conf = run.conf.for_model(name)
        store = Store(run.model_folder(name), cluster)
        trainer = Trainer(conf.train, self._loaders, self._validation, cluster, store, self._variance, self._all_rows)
        models = run.conf.train.models
        trainer.title = f"{name} (model {models.index(name) + 1}/{len(models)})" if len(models) > 1 else name
        trainer.quiet = self._quiet
        trainer.report = self._say if self._quiet or not sys.stderr.isatty() else None
        trainer.finished = self._finished(name)
        trainer.keeps_state = conf.window.train is not None  # of a run that another may go on from
        net = build(conf, self._sizes, conf.train.seed, cluster).to(self._device)
        if parent is None:
            model_type(conf).train(net, trainer, conf)
        else:
            parent.load(net, name, conf, self._sizes)
            parent.train(net, trainer, name, self._sizes)
        facts = _facts(net, store.logged(), trainer)
        store.write_json("facts", facts)
        masks = {task: dict(mask) for task, mask in net.task_masks.items()}
        trained = TrainedModel(net.state_dict(), masks, {task: own for task, own in net.task_weights.items() if own})
        store.save("model", vars(trained))
        store.clear_checkpoints()
        if cluster.rank == 0:
            waited = f"{facts.wait_share:.1%} of it waiting for data"
            for task, why in unsound(facts.model_dump(), net.tasks):
                _log.warning("train: %s of %s: %s; it will not be exported", task, name, why)
            self._say(f"train: {name} in {time.monotonic() - started:.0f} s, {waited}, {store.root}")

    def _finished(self, name: str) -> dict[str, Store]:
        """The stores of the run's models that are trained as this one is, but for their module."""
        run, conf = self._run, self._run.conf
        own, pending = _keys(conf.for_model(name)), run.pending()
        return {
            conf.models[other].module or other: Store(run.model_folder(other), self._cluster)
            for other in conf.train.models
            if other not in pending and _keys(conf.for_model(other)) == own
        }


def _keys(conf: Config) -> dict[str, Any]:
    """The keys that decide a model's training, beside its module."""
    keys = conf.part("tasks", "net", "prune", "share", "train")
    del keys["net"]["blend"], keys["train"]["models"]
    return keys


def _facts(net: Model, epochs: Sequence[Epoch], trainer: Trainer) -> Facts:
    """The contents of `facts.json` for a trained model, by the epochs that it took."""
    by_subgroup: defaultdict[int | None, float] = defaultdict(float)
    for epoch in epochs:
        by_subgroup[epoch.subgroup] += epoch.seconds
    seconds = sum(epoch.seconds for epoch in epochs)
    tasks = {task: _task_facts(net, task, trainer) for task in net.tasks}
    densities = [mask.density()["all"] for mask in net.task_masks.values()]
    return Facts(
        skill=sum(facts.skill for facts in tasks.values()),
        seconds=by_subgroup.pop(None, 0.0) + max(by_subgroup.values(), default=0.0),  # subgroups train at the same time
        wait_share=sum(epoch.wait_share * epoch.seconds for epoch in epochs) / max(seconds, 1e-9),
        parameters=net.size(),
        density=float(np.mean(densities)) if densities else 1.0,
        workers=sorted({epoch.workers for epoch in epochs}),  # fewer than configured, once one was lost
        tasks=tasks,
    )


def _task_facts(net: Model, task: str, trainer: Trainer) -> TaskFacts:
    """A task of a trained model on the validation rows, before a refit, and whether it is fit to be served."""
    rows = Validated.from_artefact(trainer.store.load(validation_key(task)))
    score = rows.figure(net.tasks[task])
    gained = net.tasks[task].measure.skill(score, trainer.label_variance[task])
    lowest, highest = float(rows.predictions.min()), float(rows.predictions.max())
    soundness = judge(gained, lowest, highest)
    return TaskFacts(score=score, lowest=lowest, highest=highest, skill=gained, soundness=soundness.value)


def _loaders(run: Run, cluster: Cluster, role: Role, device: torch.device) -> dict[str, TableLoader]:
    conf, tasks = run.conf, named_tasks(run.conf)
    return {
        task.name: TableLoader(
            run.snapshot(task.table, role),
            conf.layout,
            {other.name: other.label for other in tasks.values()},
            batch_size=conf.train.batch_size,
            shard=cluster.rank,
            shards=cluster.size,
            seed=conf.train.seed,
            shuffle=role != "validation",
            memory_rows=conf.data_loading.memory_rows,
            buffer_rows=conf.data_loading.buffer_rows,
            device=device,
        )
        for task in tasks.values()
    }


def _variance(task: str, loader: TableLoader, cluster: Cluster) -> float:
    """Variance of the labels: the mean squared error of the best constant."""
    sums = np.zeros(3)
    for batch in loader.epoch(0):
        labels = batch.labels[task].double().cpu().numpy()
        sums += [len(labels), labels.sum(), (labels**2).sum()]
    count, total, squares = cluster.sum(torch.from_numpy(sums)).tolist()
    variance = squares / count - (total / count) ** 2
    if variance <= 0:
        raise TrainingError(f"all validation labels of {task} are equal, so no epoch can be chosen by them")
    return variance
