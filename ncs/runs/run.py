"""A run: models trained on pinned versions of the samples, in a folder that says what made them."""

import logging
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ncs
from ncs.config import Config, digest
from ncs.data_loading import Snapshot, TableLoader
from ncs.errors import DataError, TrainingError
from ncs.lake import layout, manifest, storage
from ncs.lake.documents import Facts, RunDescription, models_in
from ncs.lake.layout import Commit, Lake
from ncs.models import build, model_type
from ncs.nets.model import Model
from ncs.soundness import judge, unsound
from ncs.tasks import CTR, tasks_of
from ncs.training.artefact import tensor_shapes
from ncs.training.cluster import Cluster
from ncs.training.hardware import keep_freed_memory, select_device
from ncs.training.loop import Trainer
from ncs.training.metrics import skill, validated
from ncs.training.store import Store, artefacts

_log = logging.getLogger(__name__)
_NOT_DECISIVE = ("models", "threads", "device")
"""Keys of `train` that leave a run what it is."""
_PACKAGES = ("torch", "horovod", "petastorm", "deltalake", "pyarrow", "numpy", "pyspark", "delta-spark")


@dataclass(frozen=True)
class Run:
    """What decides the weights: the configuration and the versions of the samples. Its id follows from both."""

    conf: Config
    lake: Lake
    versions: Mapping[str, int]

    @classmethod
    def of(cls, conf: Config, lake: Lake) -> "Run":
        """The run of this configuration on the samples as they are now.

        Raises DataError if these are not of one encoding.
        """
        tables = [layout.VOCABULARY, *(task.table for task in tasks_of(conf).values())]
        versions = {table: lake.version(table) for table in tables}
        _require_one_encoding(conf, lake, versions)
        return cls(conf, lake, versions)

    @cached_property
    def run_id(self) -> str:
        """The same for the same configuration and samples, so that an interrupted run is found again."""
        decisive = self.conf.part("logs.days", "split", "fields", "tasks", "net", "train", "prune", "share", "workers")
        train = {key: value for key, value in decisive.pop("train").items() if key not in _NOT_DECISIVE}
        # A digest sorts keys; the order of the fields is that of their embeddings.
        return f"{self.conf.name}-{digest([decisive, list(self.conf.fields), train, self._data()])}"

    @property
    def folder(self) -> str:
        """Where everything of the run is kept."""
        return self.lake.uri("models", self.run_id)

    def pending(self) -> list[str]:
        """The models that have no final weights yet."""
        return [name for name in self.conf.train.models if not self._is_trained(name)]

    def _is_trained(self, model: str) -> bool:
        return storage.exists(storage.join(self.folder_of(model), "model.pt"))

    def folder_of(self, model: str) -> str:
        """Where everything of a model is kept."""
        return storage.join(self.folder, self.conf.models[model].key(model))

    def facts(self, model: str) -> dict[str, Any]:
        """Of a trained model: `skill` on validation, `seconds` of training, the `wait_share` of it that was spent on
        waiting for data, `parameters` in use, mask `density`."""
        folder = self.folder_of(model)
        remedy = f"restore it, or remove {folder} and run `ncs train`"
        return storage.read_json(storage.join(folder, "facts.json"), Facts, remedy)

    @property
    def parts(self) -> set[int]:
        """The numbers of parts that the workers go into: tasks of the models whose searches are made at once."""
        own = map(self.conf.of_model, self.conf.train.models)
        return {len(tasks_of(one)) for one in own if one.prune.at_once}

    def test_loader(self) -> TableLoader:
        """The test days' impressions with the labels of all tasks, in order, streamed: they may be many.

        Raises DataError if they are not there.
        """
        conf, tasks = self.conf, tasks_of(self.conf)
        snapshot = Snapshot.of(self.lake, tasks[CTR].table, self.versions[tasks[CTR].table], conf.test_days, "test")
        labels = {task.name: task.label for task in tasks.values()}
        size = conf.train.batch_size
        return TableLoader(
            snapshot, list(conf.fields), labels, batch_size=size, shuffle=False, memory_rows=0, buffer_rows=size
        )

    @property
    def lineage(self) -> dict[str, Any]:
        """Which data, code and packages made it."""
        return {
            "tables": self.versions,
            "ncs": ncs.__version__,
            "git": _commit(),
            "packages": _versions(),
            "seed": self.conf.train.seed,
            "workers": self.conf.workers,
        }

    def describe(self) -> dict[str, Any]:
        """The run's own description, for people and later stages."""
        described = storage.derived_json(storage.join(self.folder, manifest.RUN), RunDescription)
        before = models_in(described) if described else []
        known = [name for name in dict.fromkeys([*before, *self.conf.train.models]) if name in self.conf.models]
        return {
            "run_id": self.run_id,
            "name": self.conf.name,
            "models": [name for name in known if self._is_trained(name)],
            "conf": self.conf.public(),
            "sizes": field_sizes(self),
            "vocabulary": self._data()[layout.VOCABULARY],
            "lineage": self.lineage,
        }

    def verify_trained(self, pending: Sequence[str]) -> None:
        """Compare what is trained with the manifest, but the models that are about to be trained again.

        Raises DataError where a file is missing or another than training has written.
        """
        if manifest.read(self.folder) is not None:
            folders = [self.conf.models[name].key(name) for name in pending]
            manifest.forget(self.folder, [*folders, manifest.RUN])
            manifest.verify(self.folder)

    def write_description(self) -> None:
        """Write `run.json` and, last of all, the manifest of all files that later stages read."""
        described = self.describe()
        storage.write_json(storage.join(self.folder, manifest.RUN), described)
        folders = [self.conf.models[name].key(name) for name in described["models"]]
        names = [f"{key}/{file}" for key in folders for file in artefacts(storage.join(self.folder, key))]
        manifest.write(self.folder, [manifest.RUN, *names], tensor_shapes)

    def _data(self) -> dict[str, Any]:
        """What the vocabulary and the training days hold, whatever has been written since the run's versions.

        Not these themselves: a day that a killed run had to write twice has another version, but the same rows. Rows
        that another program or `ncs erase` has taken from a day are known by the version alone.
        """
        decisive = {layout.ALL, *map(str, self.conf.train_days)}
        commits = {table: self.lake.commits(table, version) for table, version in self.versions.items()}
        return {
            table: {key: _facts_now(key, commit) for key, commit in found.items() if key in decisive}
            for table, found in commits.items()
        }


def _facts_now(key: str, commit: Commit) -> dict[str, Any]:
    """What a part of a table holds. Erased rows of the vocabulary leave the ids of others what they mean."""
    erased = key != layout.ALL and commit.rows_version > commit.version
    return commit.record.facts | ({"rows_version": commit.rows_version} if erased else {})


def _require_one_encoding(conf: Config, lake: Lake, versions: Mapping[str, int]) -> None:
    """An encoding that was killed leaves days of different ones, in which an id means different values."""
    found = {table: lake.records(table, version) for table, version in versions.items()}
    vocabulary = {version for version, _ in found.pop(layout.VOCABULARY).values()}
    records = list(found.values())
    for day in map(str, conf.logs.days):
        # What another program has changed since is no matter of the encoding.
        provenance = [_without(record[day][1].provenance, layout.CHANGED) for record in records if day in record]
        used = {one["inputs"][layout.VOCABULARY] for one in provenance if "inputs" in one}
        if any(one != provenance[0] for one in provenance) or not used <= vocabulary:
            raise DataError(
                f"{day} in {', '.join(found)} is not of one encoding, and by the newest {layout.VOCABULARY}; "
                f"`ncs encode` was interrupted, run it again"
            )


def _without(provenance: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in provenance.items() if name != key}


def train(run: Run, cluster: Cluster, say: Callable[[str], None], quiet: bool) -> None:
    """Train each model of the run that is not there yet."""
    conf = run.conf
    torch.set_num_threads(conf.train.threads or cluster.cores or len(os.sched_getaffinity(0)))
    keep_freed_memory()
    device = select_device(conf.train.device, cluster.local_rank)
    loaders, validation = (_loaders(run, cluster, split, device) for split in ("train", "validation"))
    sizes = field_sizes(run)
    variance = {task: _variance(task, loader, cluster) for task, loader in validation.items()}
    for name in run.pending():
        started = time.monotonic()
        own = conf.of_model(name)
        store = Store(run.folder_of(name), cluster)
        trainer = Trainer(own.train, loaders, validation, cluster, store, variance, quiet)
        net = build(own, sizes, own.train.seed, cluster).to(device)
        model_type(own).train(net, trainer, own)
        facts = _facts(net, store.logged()) | {"tasks": _judged(net, trainer)}
        store.write_json("facts", facts)
        store.save("model", {"net": net.state_dict(), "masks": {task: dict(m) for task, m in net.task_masks.items()}})
        store.clear_checkpoints()
        if cluster.rank == 0:
            waited = f"{facts['wait_share']:.1%} of it waiting for data"
            for task, why in unsound(facts, net.tasks):
                _log.warning("train: %s of %s: %s; it will not be exported", task, name, why)
            say(f"train: {name} in {time.monotonic() - started:.0f} s, {waited}, {store.root}")


def _judged(net: Model, trainer: Trainer) -> dict[str, dict[str, Any]]:
    """Each task of a trained model on the validation rows, and whether it is fit to be served."""
    judged = {}
    for name, task in net.tasks.items():
        found = validated(net, name, trainer.validation[name], trainer.cluster)
        gained = skill(task, found.score, trainer.label_variance[name])
        judged[name] = {**found._asdict(), "skill": gained, "soundness": judge(gained, found.lowest, found.highest)}
    return judged


def _facts(net: Model, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a comparison says of a model beside its figures."""
    best: dict[str | None, float] = {}
    taken: Counter[int | None] = Counter()
    for line in lines:
        taken[line.get("part")] += line["seconds"]  # a run of an earlier version knows no parts
        if line["phase"] == "joint":
            best[line["task"]] = max(line["skill"], best.get(line["task"], -np.inf))
    seconds = sum(line["seconds"] for line in lines)
    densities = [mask.density()["all"] for mask in net.task_masks.values()]
    return {
        "skill": sum(best.values()),
        "seconds": taken.pop(None, 0.0) + max(taken.values(), default=0.0),  # parts work at the same time
        "wait_share": sum(line["wait_share"] * line["seconds"] for line in lines) / max(seconds, 1e-9),
        "parameters": net.size(),
        "density": float(np.mean(densities)) if densities else 1.0,
        "workers": sorted({line["workers"] for line in lines}),  # fewer than asked for, once one was lost
    }


def _loaders(run: Run, cluster: Cluster, split: str, device: torch.device) -> dict[str, TableLoader]:
    conf, tasks = run.conf, tasks_of(run.conf)
    return {
        task.name: TableLoader(
            Snapshot.of(run.lake, task.table, run.versions[task.table], conf.train_days, split),
            list(conf.fields),
            {other.name: other.label for other in tasks.values()},
            batch_size=conf.train.batch_size,
            shard=cluster.rank,
            shards=cluster.size,
            seed=conf.train.seed,
            shuffle=split == "train",
            memory_rows=conf.data_loading.memory_rows,
            buffer_rows=conf.data_loading.buffer_rows,
            device=device,
        )
        for task in tasks.values()
    }


def _variance(task: str, loader: TableLoader, cluster: Cluster) -> float:
    """Variance of the labels: the squared error of the best constant."""
    sums = np.zeros(3)
    for batch in loader.epoch(0):
        labels = batch.labels[task].double().cpu().numpy()
        sums += [len(labels), labels.sum(), (labels**2).sum()]
    count, total, squares = cluster.sum(torch.from_numpy(sums)).tolist()
    variance = squares / count - (total / count) ** 2
    if variance <= 0:
        raise TrainingError(f"all validation labels of {task} are equal; there is nothing to choose by")
    return variance


def field_sizes(run: Run) -> dict[str, int]:
    """Ids of each field, 0 (unknown) included."""
    rows = run.lake.read(layout.VOCABULARY, run.versions[layout.VOCABULARY], ["field", "id"])
    highest = rows.group_by("field").aggregate([("id", "max")]).to_pydict()
    found = dict(zip(highest["field"], highest["id_max"], strict=True))
    return {name: found.get(name, 0) + 1 for name in run.conf.fields}


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _commit() -> str | None:
    """The commit of the source tree, where the package is run from one."""
    git = ["git", "-C", str(Path(ncs.__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(git, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
