"""Artefacts of a training: nested dicts of tensors and plain values, as bytes, and as shards of several workers.

Where embedding tables are sharded over the workers, each keeps its rows in its own file: worker r of n has the rows
r, r + n, ... (`ncs.nets.embedding`). Keys that end with `shard` are of such rows; all else is the same on each worker.
"""

import io
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from ncs.errors import TrainingError
from ncs.lake import storage
from ncs.nets.embedding import SHARD

_Piece = tuple[Tensor, Tensor]
"""Where rows go, and the rows."""


def pack(value: dict[str, Any]) -> bytes:
    """An artefact's bytes: torch's own format, a zip whose members carry checksums."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def unpack(content: bytes, path: str) -> dict[str, Any]:
    """What `pack` was given; no code in it is run. Raises TrainingError that names `path` if a bit has changed."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            broken = members.testzip()  # torch.load does not look at the checksums
        if broken:
            raise ValueError(f"the checksum of {broken} differs")
        return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
    except Exception as err:
        raise TrainingError(f"{path} cannot be read ({err}); remove it and train again") from None


def tensor_shapes(uri: str) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor in an artefact, called by its keys joined with `/`."""
    return dict(_shapes(unpack(storage.read_bytes(uri), uri)))


def _shapes(value: dict[str, Any], *path: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _shapes(inner, *path, key)
        elif isinstance(inner, torch.Tensor):
            yield "/".join((*path, key)), tuple(inner.shape)


def is_shard(key: str) -> bool:
    """Whether a name in a state dict is of rows that this worker alone has."""
    return key.rpartition(".")[2] == SHARD


def has_shards(value: dict[str, Any]) -> bool:
    """Whether an artefact is another one on each worker."""
    return next(_shards(value), None) is not None


def reshard(parts: Iterable[dict[str, Any]], of: int, rank: int, size: int) -> dict[str, Any]:
    """What worker `rank` of `size` has, from what `of` workers have kept; one of them at a time is looked at."""
    value: dict[str, Any] = {}
    pieces: dict[tuple[str, ...], list[_Piece]] = {}
    for n, part in enumerate(parts):
        value = value or part
        for (*path, name), holder in _shards(part):
            rows = torch.arange(len(holder[name])) * of + n
            own = rows % size == rank
            pieces.setdefault((*path, name), []).append((rows[own] // size, holder[name][own]))
    for path_name, holder in list(_shards(value)):
        places, rows = (torch.cat(side) for side in zip(*pieces[path_name], strict=True))
        holder[path_name[-1]] = torch.empty_like(rows).index_copy_(0, places, rows)
    return value


def as_whole(net: dict[str, Tensor]) -> dict[str, Tensor]:
    """A net's state dict of one worker that has all rows, as that of a net whose tables are not shared out."""
    return {name.removesuffix(SHARD) + "table" if is_shard(name) else name: weight for name, weight in net.items()}


def _shards(value: dict[str, Any], *path: str) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """The paths of all shards, and the dicts that hold them."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from _shards(inner, *path, key)
        elif is_shard(key):
            yield (*path, key), value
