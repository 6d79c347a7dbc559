"""A run's folder: what is done is there, written whole, and not done again."""

import json
import logging
import re
from collections.abc import Callable
from typing import Any

import torch

from ncs.errors import TrainingError
from ncs.lake import storage
from ncs.lake.documents import Epoch
from ncs.training.artefact import has_shards, pack, reshard, unpack
from ncs.training.cluster import Cluster

_log = logging.getLogger(__name__)
_CHECKPOINT = ".checkpoint-"
_PART = "metrics-part-"
_SHARDS = "shards"
"""The one key of an artefact that stands for the files of so many workers."""


def _checkpoint(name: str, number: int) -> str:
    return f"{name}{_CHECKPOINT}{number:04d}"


def _shard(name: str, rank: int, of: int) -> str:
    return f"{name}.{rank}-of-{of}"


def artefacts(folder: str) -> list[str]:
    """The files of a trained model that later stages read: names in its folder."""
    kept = re.compile(r"model(\.\d+-of-\d+)?\.pt|(facts|masks|conflict)\.json|metrics\.jsonl")
    return [name for name in storage.files(folder) if kept.fullmatch(name)]


class Store:
    """Artefacts of one model of a run, below `models/<run_id>/<model>`; rank 0 writes, all read.

    What is a shard's (`ncs.training.artefact`) each worker writes, and so many others as there are then can read.
    """

    def __init__(self, root: str, cluster: Cluster, metrics: str = "metrics") -> None:
        self.root, self._cluster, self._lines = root, cluster, metrics

    def beside(self, name: str) -> "Store":
        """Another folder of the same run."""
        return Store(storage.join(self.root.rpartition("/")[0], name), self._cluster)

    def part(self, part: Cluster) -> "Store":
        """The same artefacts, written by a part of the workers; it logs to a file of its own (`merge_subgroups`)."""
        return Store(self.root, part, f"{_PART}{part.number}")

    def get_or_compute(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The artefact `name`, made now if it is not there yet, or broken: what a resumed run skips."""
        value = self._loaded_by_all(name)
        if value is None:
            self.save(name, make())
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

    def load(self, name: str) -> dict[str, Any]:
        """Read an artefact; of one with shards what this worker has. Raises TrainingError if it is broken."""
        value = self._read(name)
        if value.keys() != {_SHARDS}:
            return value
        of, rank, size = value[_SHARDS], self._cluster.rank, self._cluster.size
        if of == size:
            return self._read(_shard(name, rank, size))
        return reshard((self._read(_shard(name, n, of)) for n in range(of)), of, rank, size)

    def save_checkpoint(self, name: str, number: int, value: dict[str, Any]) -> None:
        """Keep state `number` of a training and the one before, in case that this one turns out broken."""
        self.save(_checkpoint(name, number), value)
        if self._cluster.rank == 0:
            for older in self._checkpoints(name)[2:]:
                self._remove(_checkpoint(name, older))

    def newest_checkpoint(self, name: str) -> dict[str, Any] | None:
        """The newest whole state of a training that was interrupted; None if there is none."""
        numbers = self._checkpoints(name)
        for n in range(self._cluster.broadcast_value(len(numbers))):  # those that rank 0 sees
            number = self._cluster.broadcast_value(numbers[n] if self._cluster.rank == 0 else 0)
            if (value := self._loaded_by_all(_checkpoint(name, number))) is not None:
                return value
        return None

    def clear_checkpoints(self) -> None:
        """Remove what only an unfinished training needs."""
        if self._cluster.rank == 0:
            for name in storage.files(self.root):
                if _CHECKPOINT in name:
                    storage.remove(storage.join(self.root, name))
            storage.remove_leftovers(self.root)

    def log(self, entry: dict[str, Any]) -> None:
        """Keep a line of metrics; one that a resumed run measures again takes the place of the first."""
        if self._cluster.rank:
            return
        key = ("phase", "task", "round", "epoch")
        entries = [e for e in self.logged() if any(e[k] != entry[k] for k in key)] + [entry]
        self._write(self._metrics, "".join(json.dumps(e) + "\n" for e in entries).encode())

    def merge_subgroups(self) -> None:
        """Log what parts of the workers have logged, now or before a resume; by then none of them works."""
        if self._cluster.rank:
            return
        for file in storage.files(self.root):
            if file.startswith(_PART):
                for line in Store(self.root, self._cluster, file.removesuffix(".jsonl")).logged():
                    self.log(line)
                storage.remove(storage.join(self.root, file))

    def logged(self) -> list[dict[str, Any]]:
        """All lines of metrics."""
        if not storage.exists(self._metrics):
            return []
        return storage.read_json_lines(self._metrics, Epoch, f"remove {self.root} and run `ncs train`")

    def write_json(self, name: str, value: Any) -> None:
        """Write a value that others than this program read."""
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
        """The numbers of a training's checkpoints, the newest first."""
        found = (re.fullmatch(rf"{re.escape(name + _CHECKPOINT)}(\d+)\.pt", file) for file in storage.files(self.root))
        return sorted((int(match[1]) for match in found if match), reverse=True)

    def _remove(self, name: str) -> None:
        """An artefact and, after it, its shards."""
        storage.remove(self._path(name))
        for file in storage.files(self.root):
            if file.startswith(f"{name}."):
                storage.remove(storage.join(self.root, file))

    def _loaded_by_all(self, name: str) -> dict[str, Any] | None:
        """An artefact, if each worker finds what it needs of it, and finds it whole."""
        value = self._found(name)
        found = torch.tensor([int(value is not None)])
        return value if int(self._cluster.sum(found)) == self._cluster.size else None

    def _found(self, name: str) -> dict[str, Any] | None:
        if not storage.exists(self._path(name)):
            return None
        try:
            return self.load(name)
        except TrainingError as err:
            _log.warning("%s: it is broken, and made again from what was before it", str(err).partition(";")[0])
            return None

    @staticmethod
    def _write(path: str, content: bytes) -> None:
        try:
            storage.write_bytes(path, content)
        except OSError as err:
            raise TrainingError(
                f"{path} cannot be written ({err.strerror or err}); what was kept before it is whole. "
                "Make room, and the same command goes on from there"
            ) from None
