"""A model's folder in a run: artefacts and metrics that training has finished, so that a resumed run skips them."""

import json
import logging
import re
from collections.abc import Callable, Iterable
from typing import Any

import torch

from ncs.errors import TrainingError
from ncs.lake import storage
from ncs.lake.documents import Epoch, read_documents
from ncs.training.artefact import has_shards, pack, reshard, unpack
from ncs.training.cluster import Cluster

_log = logging.getLogger(__name__)
_CHECKPOINT = ".checkpoint-"
_SUBGROUP = "metrics-subgroup-"
_SHARDS = "shards"
"""The only key of an artefact whose content is in the files of so many workers."""


def _checkpoint(name: str, number: int) -> str:
    return f"{name}{_CHECKPOINT}{number:04d}"


def _shard(name: str, rank: int, of: int) -> str:
    return f"{name}.{rank}-of-{of}"


def validation_key(task: str) -> str:
    """The artefact with labels and predictions of a task's validation rows."""
    return f"validation-{task}"


def optimizer_key(tasks: Iterable[str]) -> str:
    """The artefact with the optimiser's state of the tasks that were trained together."""
    return "-".join(["optimizer", *tasks])


class Store:
    """Artefacts of one model of a run, below `models/<run_id>/<model>`; rank 0 writes, all read.

    Shards (`ncs.training.artefact`) are written by each worker, and can be read by another number of workers.
    """

    def __init__(self, root: str, cluster: Cluster, metrics: str = "metrics") -> None:
        self.root, self._cluster, self._lines = root, cluster, metrics

    def beside(self, name: str) -> "Store":
        """Another folder of the same run."""
        return Store(storage.join(self.root.rpartition("/")[0], name), self._cluster)

    def for_subgroup(self, subgroup: Cluster) -> "Store":
        """The same folder, written by a subgroup of the workers, which has a metrics file of its own."""
        return Store(self.root, subgroup, f"{_SUBGROUP}{subgroup.subgroup_number}")

    def get_or_compute(self, name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The artefact `name`, computed if it is missing or broken: what a resumed run skips."""
        value = self._loaded_by_all(name)
        if value is None:
            self.save(name, compute())
            value = self.load(name)
        return value

    def save(self, name: str, value: dict[str, Any]) -> None:
        """Write an artefact whole or not at all. Raises TrainingError if there is no room for it.

        Of one with shards every worker writes its own, and only then there is a file of its name.
        """
        rank, size = self._cluster.rank, self._cluster.size
        if has_shards(value):
            self._write(self._path(_shard(name, rank, size)), pack(value))
            self._cluster.broadcast_value(True)
            value = {_SHARDS: size}
        if rank == 0:
            self._write(self._path(name), pack(value))
        self._cluster.broadcast_value(True)  # nobody reads before it is written

    def has(self, name: str) -> bool:
        """Whether there is an artefact."""
        return storage.exists(self._path(name))

    def load(self, name: str) -> dict[str, Any]:
        """Read an artefact; of a sharded one this worker's rows. Raises TrainingError if it is broken."""
        value = self._read(name)
        if value.keys() != {_SHARDS}:
            return value
        of, rank, size = value[_SHARDS], self._cluster.rank, self._cluster.size
        if of == size:
            return self._read(_shard(name, rank, size))
        return reshard((self._read(_shard(name, n, of)) for n in range(of)), of, rank, size)

    def save_checkpoint(self, name: str, number: int, value: dict[str, Any]) -> None:
        """Keep state `number` of a phase and the one before, in case this one is broken."""
        self.save(_checkpoint(name, number), value)
        if self._cluster.rank == 0:
            for older in self._checkpoints(name)[2:]:
                self._remove(_checkpoint(name, older))

    def newest_checkpoint(self, name: str) -> dict[str, Any] | None:
        """The newest state of an interrupted phase that all workers can read; None if there is none."""
        numbers = self._checkpoints(name)
        for n in range(self._cluster.broadcast_value(len(numbers))):  # those that rank 0 sees
            number = self._cluster.broadcast_value(numbers[n] if self._cluster.rank == 0 else 0)
            if (value := self._loaded_by_all(_checkpoint(name, number))) is not None:
                return value
        return None

    def clear_checkpoints(self) -> None:
        """Remove what only an interrupted phase needs."""
        if self._cluster.rank == 0:
            for name in storage.files(self.root):
                if _CHECKPOINT in name:
                    storage.remove(storage.join(self.root, name))
            storage.remove_leftovers(self.root)

    def log(self, epoch: Epoch) -> None:
        """Append an epoch's metrics; one that a resumed run trains again replaces the first."""
        if self._cluster.rank:
            return
        epochs = [*(other for other in self.logged() if other.key != epoch.key), epoch]
        lines = [json.dumps(line.model_dump(exclude_unset=True)) + "\n" for line in epochs]
        self._write(self._metrics, "".join(lines).encode())

    def take(self, other: "Store") -> None:
        """Log another model's epochs, and keep what its training says of masks, as if it had been trained here."""
        for epoch in other.logged():
            self.log(epoch)
        for name in ("masks", "conflict"):
            if storage.exists(path := storage.join(other.root, f"{name}.json")):
                self.write_json(name, storage.read_json(path))

    def merge_subgroups(self) -> None:
        """Log the epochs of all subgroups, of before a resume too; none of them is training any more."""
        if self._cluster.rank:
            return
        for file in storage.files(self.root):
            if file.startswith((_SUBGROUP, "metrics-part-")):  # as an earlier version called it
                for epoch in Store(self.root, self._cluster, file.removesuffix(".jsonl")).logged():
                    self.log(epoch)
                storage.remove(storage.join(self.root, file))

    def logged(self) -> list[Epoch]:
        """The metrics of all epochs."""
        if not storage.exists(self._metrics):
            return []
        return read_documents(self._metrics, Epoch, f"remove {self.root} and run `ncs train`")

    def write_json(self, name: str, value: Any) -> None:
        """Write a value, or a document, that later stages read."""
        if self._cluster.rank == 0:
            storage.write_json(storage.join(self.root, f"{name}.json"), value)

    @property
    def _metrics(self) -> str:
        return storage.join(self.root, f"{self._lines}.jsonl")

    def _path(self, name: str) -> str:
        return storage.join(self.root, f"{name}.pt")

    def _read(self, name: str) -> dict[str, Any]:
        path = self._path(name)
        try:
            content = storage.read_bytes(path)
        except OSError as err:
            raise TrainingError(f"{path} cannot be read ({err}); train again") from None
        return unpack(content, path)

    def _checkpoints(self, name: str) -> list[int]:
        """The numbers of a phase's checkpoints, the newest first."""
        checkpoint = re.compile(rf"{re.escape(name + _CHECKPOINT)}(\d+)\.pt")
        matches = map(checkpoint.fullmatch, storage.files(self.root))
        return sorted((int(match[1]) for match in matches if match), reverse=True)

    def _remove(self, name: str) -> None:
        """An artefact and, after it, its shards."""
        storage.remove(self._path(name))
        for file in storage.files(self.root):
            if file.startswith(f"{name}."):
                storage.remove(storage.join(self.root, file))

    def _loaded_by_all(self, name: str) -> dict[str, Any] | None:
        """An artefact, if every worker can read its rows of it."""
        value = self._load_if_whole(name)
        readable = torch.tensor([int(value is not None)])
        return value if int(self._cluster.sum(readable)) == self._cluster.size else None

    def _load_if_whole(self, name: str) -> dict[str, Any] | None:
        if not storage.exists(self._path(name)):
            return None
        try:
            return self.load(name)
        except TrainingError as err:
            _log.warning("%s: it is broken, and computed again", str(err).partition(";")[0])
            return None

    @staticmethod
    def _write(path: str, content: bytes) -> None:
        try:
            storage.write_bytes(path, content)
        except OSError as err:
            raise TrainingError(
                f"{path} cannot be written ({err.strerror or err}); what was written before it is whole. "
                "Free some space; the same command continues from there"
            ) from None
