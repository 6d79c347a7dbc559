"""Small files beside the tables, on any file system that fsspec knows (a folder, s3://, abfss://, memory://).

What has no `://` is a path, whatever signs its folders have in their names: `a b#%25` is that folder to Spark, to
fsspec, to deltalake and to Petastorm.
"""

import atexit
import errno
import json
import os
import posixpath
import re
import shutil
import stat
import tempfile
import threading
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import fsspec
from fsspec import AbstractFileSystem

from ncs.errors import ConfigError, DataError
from ncs.lake.json_values import checked, plain

_UNFINISHED = ".unfinished"
_MISREAD = re.compile(r"[^\w/ .:,=+@~-]")
"""Signs in paths that deltalake takes for parts of a URL: `%20` is decoded, `[` refused, `#` cuts."""
_aliases: dict[str, str] = {}
_lock = threading.RLock()


def join(root: str, *parts: str) -> str:
    """A path below a root, which may be a URI."""
    return posixpath.join(root, *parts)


def absolute(root: str) -> str:
    """A root that means the same from every working directory and process."""
    return root.rstrip("/") if "://" in root else os.path.abspath(os.path.expanduser(root))


def filesystem(uri: str) -> tuple[AbstractFileSystem, str]:
    """The file system that a path or URI is on, and the path there. Raises ConfigError if it is of no known kind."""
    if "://" not in uri:
        return fsspec.filesystem("file"), uri
    try:
        return fsspec.url_to_fs(uri)
    except (ValueError, ImportError) as err:  # no such kind, or one whose package is not there
        raise ConfigError(f"{uri}: {err}; name a folder, or a URI of a store whose package is installed") from None


def open_file(uri: str, compression: str | None = None) -> Any:
    """A file, opened to read its bytes. `compression`: as fsspec names it, or `infer`, by the file's name.

    Raises OSError where it is missing or is no regular file: to open a pipe would block.
    """
    fs, path = filesystem(uri)
    if "://" not in uri and not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return fs.open(path, "rb", compression=compression)


def is_aliased(folder: str) -> bool:
    """Whether `alias` names another path than the folder's own."""
    return "://" not in folder and _MISREAD.search(folder) is not None


def alias(folder: str) -> str:
    """A path of the same folder that every library reads alike: its own, or a temporary folder of links to what it has.

    New entries of the folder show in it after the next call. What is created in it directly, other than below
    `_delta_log`, is not created in the folder.
    """
    if not is_aliased(folder):
        return folder
    with _lock:
        if folder not in _aliases:
            root = os.path.realpath(tempfile.mkdtemp(prefix="ncs-alias-"))  # a name that nobody can foresee
            atexit.register(_remove_alias, root, os.getpid())
            # deltalake resolves links in a table's own path, so that the folder itself cannot be one.
            _aliases[folder] = posixpath.join(root, *(_MISREAD.sub("_", part) for part in folder.split("/")[-2:]))
            os.makedirs(_aliases[folder])
        linked = _aliases[folder]
        names = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        old = {entry.name for entry in os.scandir(linked) if entry.is_symlink()}
        for name in old - names:
            os.unlink(posixpath.join(linked, name))
        for name in names - old:
            os.symlink(posixpath.join(folder, name), posixpath.join(linked, name))
        return linked


def _remove_alias(root: str, pid: int) -> None:
    if os.getpid() == pid:  # not in a process that was forked from the one that uses it
        shutil.rmtree(root, ignore_errors=True)


def exists(uri: str) -> bool:
    """Whether a file or folder is there."""
    fs, path = filesystem(uri)
    return fs.exists(path)


@dataclass(frozen=True)
class Entry:
    """An entry of a folder: its kind (`other`: a pipe, a device, a link to nothing), bytes, time of change."""

    kind: Literal["file", "folder", "other"]
    size: int
    changed: str


def entries(uri: str) -> dict[str, Entry]:
    """The entries directly in a folder, by name, links followed; empty if there is no folder.

    Opens nothing, so that nothing can block. Names that start with `_` or `.` are left out, as by `files`. Raises
    OSError if the folder cannot be listed, NotADirectoryError if it is a file.
    """
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    if not fs.exists(path):
        return {}
    if not fs.isdir(path):
        raise NotADirectoryError(f"{uri} is no folder")
    by_name = {}
    for info in sorted(fs.ls(path, detail=True), key=lambda info: info["name"]):
        name = posixpath.basename(info["name"].rstrip("/"))
        if not name.startswith(("_", ".")) and info["name"].strip("/") != path.strip("/"):
            by_name[name] = _entry(fs, info)
    return by_name


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
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    if not fs.exists(path):
        return {}
    by_path = {}
    for name, info in sorted(fs.find(path, detail=True).items()):
        relative = name[len(path) :].strip("/") or posixpath.basename(name)
        if not any(part.startswith(("_", ".")) for part in relative.split("/")):
            by_path[relative] = (int(info["size"]), _changed(info))
    return by_path


def leftovers(uri: str, before: datetime) -> list[str]:
    """Unfinished files of killed `write_bytes` calls below a folder, unchanged since `before`."""
    fs, path = filesystem(uri)
    paths = fs.find(path) if fs.exists(path) else []
    halves = [name for name in paths if name.endswith(_UNFINISHED)]
    return [fs.unstrip_protocol(name) for name in halves if fs.modified(name) < before]


def folders(uri: str) -> list[str]:
    """Names of the folders directly below a folder, sorted."""
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    if not fs.isdir(path):
        return []
    return sorted(
        posixpath.basename(e["name"].rstrip("/")) for e in fs.ls(path, detail=True) if e["type"] == "directory"
    )


def read_bytes(uri: str) -> bytes:
    """The whole of a file."""
    with open_file(uri) as file:
        content: bytes = file.read()
    return content


def write_bytes(uri: str, content: bytes) -> None:
    """Write a file whole or not at all: into a neighbour first, which then takes its name."""
    fs, path = filesystem(uri)
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


_AGAIN = "restore the file, or remove it and run the stage that writes it"


def read_json(uri: str, shape: Any = Any, remedy: str = _AGAIN) -> Any:
    """A JSON file's value, which is of a shape: a type that pydantic knows (`ncs.lake.documents`).

    Raises DataError that names the file, what is wrong with it and the remedy.
    """
    return checked(_text(uri, remedy), uri, shape, remedy)


def read_json_lines(uri: str, shape: Any = Any, remedy: str = _AGAIN) -> list[Any]:
    """The values of a file with a JSON value a line, each of a shape; errors as `read_json`."""
    lines = _text(uri, remedy).splitlines()
    if not lines:
        raise DataError(f"{uri} is empty, a line of JSON expected; {remedy}")
    return [checked(line, f"{uri}, line {number}", shape, remedy) for number, line in enumerate(lines, start=1)]


def derived_json(uri: str, shape: Any = Any) -> Any:
    """A JSON file's value, or None where it is missing or broken: for what its reader can make again."""
    try:
        return read_json(uri, shape) if exists(uri) else None
    except DataError:
        return None


def _text(uri: str, remedy: str) -> str:
    try:
        return read_bytes(uri).decode("utf-8")
    except FileNotFoundError:
        raise DataError(f"{uri} is missing; {remedy}") from None
    except OSError as err:
        raise DataError(f"{uri} cannot be read ({err.strerror or err}); {remedy}") from None
    except UnicodeDecodeError as err:
        raise DataError(f"{uri} is not UTF-8 (byte {err.start}); {remedy}") from None


def write_json(uri: str, value: Any) -> None:
    """Write a value, or a document, as indented JSON, whole or not at all."""
    write_bytes(uri, (json.dumps(value, indent=2, default=plain) + "\n").encode())


def remove(uri: str) -> None:
    """Remove a file or folder, if it is there."""
    fs, path = filesystem(uri)
    if fs.exists(path):
        fs.rm(path, recursive=True)


def remove_leftovers(uri: str) -> None:
    """Remove what writers that were killed on the way have left in a folder."""
    fs, path = filesystem(uri)
    for name in fs.ls(path, detail=False):
        if name.endswith(_UNFINISHED):
            fs.rm(name)
