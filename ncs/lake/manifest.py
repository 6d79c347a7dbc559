"""A run's manifest: sizes and digests of its files, by which one that was swapped, edited or lost is noticed."""

import hashlib
import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from ncs.errors import DataError
from ncs.lake import storage
from ncs.lake.documents import RunManifest

_log = logging.getLogger(__name__)
RUN = "run.json"
Shapes = Mapping[str, Sequence[int]]
"""Tensor -> its shape."""
_CHUNK = 1 << 22  # bytes that are read at once
_KEPT = re.compile(
    r"(model|validation-\w+|optimizer(?:-\w+)+)(\.\d+-of-\d+)?\.pt|(facts|masks|conflict)\.json|metrics\.jsonl"
)


def artefacts(folder: str) -> list[str]:
    """The files of a trained model that later stages read: names in its folder."""
    return [name for name in storage.files(folder) if _KEPT.fullmatch(name)]


def manifest_uri(folder: str) -> str:
    """Where the manifest of the run in a folder stands."""
    return storage.join(folder, "manifest.json")


def write(folder: str, names: Collection[str], shapes: Callable[[str], Shapes]) -> None:
    """Write the manifest of the run in a folder. Files that the one before lists are not read again.

    Args:
        folder: of the run.
        names: its files, as paths below the folder.
        shapes: of the tensors in a file (a URI) that ends with `.pt`.
    """
    files = dict((read(folder) or {"files": {}})["files"])
    for name in sorted(set(names) - set(files)):
        uri = storage.join(folder, name)
        size, sha256 = _digest(uri)
        files[name] = {"size": size, "sha256": sha256}
        if name.endswith(".pt"):
            files[name]["shapes"] = {tensor: list(shape) for tensor, shape in shapes(uri).items()}
    _write(folder, files)


def forget(folder: str, names: Collection[str]) -> None:
    """Take files, or all of models' folders, out of the manifest of a run: they are about to be written again."""
    manifest = read(folder)
    if manifest is not None:
        files = manifest["files"]
        left = {name: file for name, file in files.items() if not {name, name.rpartition("/")[0]} & set(names)}
        if left:
            _write(folder, left)
        else:
            storage.remove(manifest_uri(folder))


def read(folder: str) -> dict[str, Any] | None:
    """The manifest of the run in a folder; None where an earlier version of ncs has written none."""
    uri = manifest_uri(folder)
    if not storage.exists(uri):
        return None
    values = storage.read_json(uri, RunManifest, "restore it, or remove it and run `ncs train`, which writes it again")
    run_id = folder.rstrip("/").rpartition("/")[2]
    if values["run_id"] != run_id:
        raise DataError(
            f"{uri} is of the run {values['run_id']!r}, the folder is that of {run_id}; restore the folder, or remove "
            "it and run `ncs train`"
        )
    return values


def verify(folder: str) -> None:
    """Compare the files of the run in a folder with its manifest; a run of an earlier version of ncs has none.

    Raises DataError that names the first file that is missing or another than training has written.
    """
    manifest = read(folder)
    if manifest is None:
        _log.warning("%s is missing: the run's files are not verified; `ncs train` writes it", manifest_uri(folder))
        return
    for name, expected in manifest["files"].items():
        model = name.rpartition("/")[0]
        uri = storage.join(folder, name)
        written = f"{expected['sha256'][:12]} ({expected['size']:,} bytes)"
        again = f"remove {storage.join(folder, model)} and run" if model else "run"
        remedy = f"restore the file from a copy, or {again} `ncs train`, which writes it again"
        if not storage.exists(uri):
            raise DataError(f"{uri} is missing, manifest.json of the run lists it with SHA-256 {written}; {remedy}")
        try:
            size, sha256 = _digest(uri)
        except OSError as err:
            raise DataError(f"{uri} cannot be read ({err.strerror or err}); {remedy}") from None
        if (size, sha256) != (expected["size"], expected["sha256"]):
            raise DataError(
                f"{uri} is not the file that training wrote: SHA-256 {sha256[:12]} ({size:,} bytes), manifest.json of "
                f"the run says {written}; {remedy}"
            )


def _write(folder: str, files: Mapping[str, Any]) -> None:
    run_id = folder.rstrip("/").rpartition("/")[2]
    storage.write_json(manifest_uri(folder), {"run_id": run_id, "files": dict(sorted(files.items()))})


def _digest(uri: str) -> tuple[int, str]:
    size, sha256 = 0, hashlib.sha256()
    with storage.open_file(uri) as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            sha256.update(chunk)
    return size, sha256.hexdigest()
