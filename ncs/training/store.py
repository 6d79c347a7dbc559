"""A run's folder: what is done is there, written whole, and not done again."""

import io
import json
from collections.abc import Callable
from typing import Any

import torch

from ncs.errors import TrainingError
from ncs.lake import storage
from ncs.training.cluster import Cluster


class Store:
    """Artefacts of one system of a run, below `models/<run_id>/<system>`; rank 0 writes, all read."""

    def __init__(self, root: str, cluster: Cluster) -> None:
        self.root, self._cluster = root, cluster

    def beside(self, name: str) -> "Store":
        """Another folder of the same run."""
        return Store(storage.join(self.root.rpartition("/")[0], name), self._cluster)

    def once(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The artefact `name`, made now if it is not there yet: what a resumed run skips."""
        if not self.has(name):
            self.save(name, make())
        return self.load(name)

    def has(self, name: str) -> bool:
        """Whether an artefact is there, in the eyes of rank 0."""
        return self._cluster.agree(storage.exists(self._path(name)))

    def save(self, name: str, value: dict[str, Any]) -> None:
        """Write an artefact whole or not at all."""
        if self._cluster.rank == 0:
            buffer = io.BytesIO()
            torch.save(value, buffer)
            storage.write_bytes(self._path(name), buffer.getvalue())
        self._cluster.agree(True)  # nobody reads before it is written

    def load(self, name: str) -> dict[str, Any]:
        """Read an artefact. Raises TrainingError if it is broken."""
        try:
            content = storage.read_bytes(self._path(name))
            return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        except Exception as err:
            raise TrainingError(f"{self._path(name)} cannot be read ({err}); remove it and train again") from None

    def clear_checkpoints(self) -> None:
        """Remove what only an unfinished training needs."""
        if self._cluster.rank == 0:
            for name in storage.files(self.root):
                if name.endswith((".checkpoint.pt", ".best.pt")):
                    storage.remove(storage.join(self.root, name))

    def log(self, entry: dict[str, Any]) -> None:
        """Keep a line of metrics; one that a resumed run measures again takes the place of the first."""
        if self._cluster.rank:
            return
        key = ("phase", "task", "round", "epoch")
        entries = [e for e in self.logged() if any(e[k] != entry[k] for k in key)] + [entry]
        storage.write_bytes(self._metrics, "".join(json.dumps(e) + "\n" for e in entries).encode())

    def logged(self) -> list[dict[str, Any]]:
        """All lines of metrics."""
        if not storage.exists(self._metrics):
            return []
        return [json.loads(line) for line in storage.read_bytes(self._metrics).decode().splitlines()]

    def write_json(self, name: str, value: Any) -> None:
        """Write a value that others than this program read."""
        if self._cluster.rank == 0:
            storage.write_json(storage.join(self.root, f"{name}.json"), value)

    @property
    def _metrics(self) -> str:
        return storage.join(self.root, "metrics.jsonl")

    def _path(self, name: str) -> str:
        return storage.join(self.root, f"{name}.pt")
