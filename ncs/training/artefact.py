"""Artefacts of a training: nested dicts of tensors and plain values, as bytes, and as shards of several workers.

Where embedding tables are sharded over the workers, each keeps its rows in its own file: worker r of n has the rows
r, r + n, ... (`ncs.nets.embedding`). Keys that end with `shard` are of such rows; all else is the same on each worker.
"""

import io
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ncs.errors import TrainingError
from ncs.lake import storage
from ncs.nets.embedding import SHARD

_Piece = tuple[Tensor, Tensor]
"""The new positions of rows, and the rows."""


@dataclass(frozen=True)
class TrainedModel:
    """The content of the artefact `model`: weights by name, each task's mask by layer, and its own weights, if any."""

    net: dict[str, Tensor]
    masks: dict[str, dict[str, Tensor]]
    task_weights: dict[str, dict[str, Tensor]] = field(default_factory=dict)


def pack(value: dict[str, Any]) -> bytes:
    """An artefact's bytes: torch's own format, a zip whose members have checksums."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def unpack(content: bytes, path: str) -> dict[str, Any]:
    """The value that was packed; no code in it is run. Raises TrainingError with `path` if a bit has changed."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            broken = members.testzip()  # torch.load does not verify the checksums
        if broken:
            raise ValueError(f"the checksum of {broken} differs")
        return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as err:
        raise TrainingError(f"{path} cannot be read ({err}); remove it and train again") from None


def tensor_shapes(uri: str) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor in an artefact, by its keys joined with `/`."""
    return dict(_shapes(unpack(storage.read_bytes(uri), uri)))


def _shapes(value: dict[str, Any], *path: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _shapes(inner, *path, key)
        elif isinstance(inner, torch.Tensor):
            yield "/".join((*path, key)), tuple(inner.shape)


def is_shard(key: str) -> bool:
    """Whether a name in a state dict is of a table's shard."""
    return key.rpartition(".")[2] == SHARD


def has_shards(value: dict[str, Any]) -> bool:
    """Whether an artefact has shards, and so differs between workers."""
    return next(_shards(value), None) is not None


def reshard(artefacts: Iterable[dict[str, Any]], of: int, rank: int, size: int) -> dict[str, Any]:
    """The artefact of worker `rank` of `size`, from those of `of` workers, of which one at a time is in memory."""
    value: dict[str, Any] = {}
    pieces: dict[tuple[str, ...], list[_Piece]] = {}
    for n, artefact in enumerate(artefacts):
        value = value or artefact
        for (*path, name), parent in _shards(artefact):
            rows = torch.arange(len(parent[name])) * of + n
            own = rows % size == rank
            pieces.setdefault((*path, name), []).append((rows[own] // size, parent[name][own]))
    for path_name, parent in list(_shards(value)):
        positions, rows = (torch.cat(column) for column in zip(*pieces[path_name], strict=True))
        parent[path_name[-1]] = torch.empty_like(rows).index_copy_(0, positions, rows)
    return value


def as_whole(net: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a sharded net on a single worker, which has all rows, as that of a net without shards."""
    return {name.removesuffix(SHARD) + "table" if is_shard(name) else name: weight for name, weight in net.items()}


def _shards(value: dict[str, Any], *path: str) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """The paths of all shards, and the dicts that they are in."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _shards(inner, *path, key)
        elif is_shard(key):
            yield (*path, key), value
