"""Small files beside the tables, on any file system that fsspec knows (a folder, s3://, abfss://, memory://)."""

import json
import os
import posixpath
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import fsspec

_UNFINISHED = ".unfinished"


def join(root: str, *parts: str) -> str:
    """A path below a root, which may be a URI."""
    return posixpath.join(root, *parts)


def absolute(root: str) -> str:
    """A root that means the same from every working directory and process."""
    return root.rstrip("/") if "://" in root else os.path.abspath(os.path.expanduser(root))


def exists(uri: str) -> bool:
    """Whether a file or folder is there."""
    fs, path = fsspec.url_to_fs(uri)
    return fs.exists(path)


@dataclass(frozen=True)
class Entry:
    """What stands in a folder: its kind (`other`: a pipe, a device, a link to nothing), bytes, time of change."""

    kind: Literal["file", "folder", "other"]
    size: int
    changed: str


def entries(uri: str) -> dict[str, Entry]:
    """What stands directly in a folder, by name, links followed; empty if there is no folder.

    Opens nothing, so that nothing can block. Names that start with `_` or `.` are left out, as by `files`. Raises
    OSError if the folder cannot be listed, NotADirectoryError if it is a file.
    """
    fs, path = fsspec.url_to_fs(uri)
    fs.invalidate_cache()
    if not fs.exists(path):
        return {}
    if not fs.isdir(path):
        raise NotADirectoryError(f"{uri} is no folder")
    found = {}
    for info in sorted(fs.ls(path, detail=True), key=lambda info: info["name"]):
        name = posixpath.basename(info["name"].rstrip("/"))
        if not name.startswith(("_", ".")) and info["name"].strip("/") != path.strip("/"):
            found[name] = _entry(fs, info)
    return found


def _entry(fs: Any, info: dict[str, Any]) -> Entry:
    if info.get("islink"):
        try:
            info = fs.info(info["name"])  # of what the link leads to
        except OSError:
            return Entry("other", 0, "")
    kinds: dict[str, Literal["file", "folder"]] = {"file": "file", "directory": "folder"}
    return Entry(kinds.get(info["type"], "other"), int(info["size"] or 0), _changed(info))


def _changed(info: dict[str, Any]) -> str:
    return str(info.get("mtime") or info.get("LastModified") or info.get("created") or "")


def files(uri: str) -> dict[str, tuple[int, str]]:
    """All data files below a folder: path relative to it -> (bytes, time of change). Empty if there is none.

    Names that start with `_` or `.` are bookkeeping of whoever wrote the folder and are left out, as Spark does.
    """
    fs, path = fsspec.url_to_fs(uri)
    fs.invalidate_cache()
    if not fs.exists(path):
        return {}
    found = {}
    for name, info in sorted(fs.find(path, detail=True).items()):
        relative = name[len(path) :].strip("/") or posixpath.basename(name)
        if not any(part.startswith(("_", ".")) for part in relative.split("/")):
            found[relative] = (int(info["size"]), _changed(info))
    return found


def leftovers(uri: str, before: datetime) -> list[str]:
    """What `write_bytes` has left below a folder when its process was killed, unchanged since `before`."""
    fs, path = fsspec.url_to_fs(uri)
    found = fs.find(path) if fs.exists(path) else []
    halves = [name for name in found if name.endswith(_UNFINISHED)]
    return [fs.unstrip_protocol(name) for name in halves if fs.modified(name) < before]


def folders(uri: str) -> list[str]:
    """Names of the folders directly below a folder, sorted."""
    fs, path = fsspec.url_to_fs(uri)
    fs.invalidate_cache()
    if not fs.isdir(path):
        return []
    return sorted(
        posixpath.basename(e["name"].rstrip("/")) for e in fs.ls(path, detail=True) if e["type"] == "directory"
    )


def read_bytes(uri: str) -> bytes:
    """The whole of a file."""
    with fsspec.open(uri, "rb") as file:
        return file.read()


def write_bytes(uri: str, content: bytes) -> None:
    """Write a file whole or not at all: into a neighbour first, which then takes its name."""
    fs, path = fsspec.url_to_fs(uri)
    fs.makedirs(posixpath.dirname(path), exist_ok=True)
    # One name per writer: two processes that write the same file do not mix, the later one wins.
    beside = posixpath.join(posixpath.dirname(path), f".{posixpath.basename(path)}.{uuid.uuid4().hex[:8]}{_UNFINISHED}")
    local = "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))
    try:
        with fs.open(beside, "wb") as file:
            file.write(content)
            if local:  # on disk before it takes the name: a machine that dies leaves the old file or the new
                file.flush()
                os.fsync(file.fileno())
        if local:
            os.replace(beside, path)
        else:
            fs.mv(beside, path)
    except BaseException:
        if fs.exists(beside):
            fs.rm(beside)
        raise


def read_json(uri: str) -> Any:
    """A JSON file's value."""
    return json.loads(read_bytes(uri))


def write_json(uri: str, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all."""
    write_bytes(uri, (json.dumps(value, indent=2, default=str) + "\n").encode())


def remove(uri: str) -> None:
    """Remove a file or folder, if it is there."""
    fs, path = fsspec.url_to_fs(uri)
    if fs.exists(path):
        fs.rm(path, recursive=True)


def remove_leftovers(uri: str) -> None:
    """Remove what writers that were killed on the way have left in a folder."""
    fs, path = fsspec.url_to_fs(uri)
    for name in fs.ls(path, detail=False):
        if name.endswith(_UNFINISHED):
            fs.rm(name)
