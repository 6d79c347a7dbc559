"""The commits of a Delta log, read as files: what each says of itself, and whose rows it changed.

A commit's file never changes, so that each is parsed once in a process. Commits that an older log clean-up has
removed are not there; a checkpoint keeps no message.
"""

import json
import math
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from ncs.errors import DataError
from ncs.lake import storage

_COMMIT = re.compile(r"(\d{20})\.json")
_INFO = b'"commitInfo"'
_KEYS = ("stage", "key", "provenance", "facts")
ALL = "all"
"""The key of a record of a table that is replaced whole."""
CHANGED = "changed by another writer"
"""The key that a record has beside its own where another program has changed its rows since."""
ERASE = "erase"
"""The stage of records that say which parts of a table `ncs erase` took rows from; what depends on them stays as is,
for the same rows were taken from it."""
EVERY = "*"
"""Stands for every partition, where a commit does not say which of them it changed."""


@dataclass(frozen=True)
class Record:
    """What a commit says of a partition that it replaced, kept in the commit: it is there exactly when the rows are.

    `key` is the partition, a day (or a run, or `all`); `provenance` everything that decided its rows: the digest of the
    configuration's keys and the versions of the inputs. A stage whose record would say the same again has nothing
    to do.
    """

    stage: str
    key: str
    provenance: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LogCommit:
    """A commit: its version, its time (UTC), what ran, its records if a stage wrote it, else what it changed."""

    version: int
    written: datetime
    operation: str
    records: tuple[Record, ...]
    """Of a stage's commit; empty: another program's, or one that maintains the table."""
    changed: frozenset[str]
    """Partitions whose rows another program changed, by any of their values; `*` for all of them."""
    restores: int | None = None
    """The version that a RESTORE brought back: the commits between are undone."""

    def changes(self, key: str) -> bool:
        """Whether another program changed rows of a part of the table, `all` being the whole of it."""
        return bool(self.changed) and (key == ALL or key in self.changed or EVERY in self.changed)


@dataclass(frozen=True)
class Commit:
    """The newest commit of a partition: its version, its time (UTC), and what its stage says of the partition.

    Where another program has changed the partition since, version and time are of its commit, and the record has the
    key `CHANGED`: the stage rebuilds the partition, and what depends on it is stale.
    """

    version: int
    written: datetime
    record: Record
    rows_version: int
    """Of the newest commit that changed its rows, of `ncs erase` too."""


def newest_by_key(uri: str, version: int | None) -> dict[str, Commit]:
    """The newest commit of each key of the table at `uri`, up to a version."""
    newest: dict[str, Commit] = {}
    others: list[LogCommit] = []
    erased: dict[str, int] = {}
    restored: float = math.inf
    for commit in newest_first(uri, version):
        if commit.version > restored:
            continue  # taken back by a later commit
        if commit.restores is not None:
            restored = commit.restores
            continue
        for record in commit.records:
            if record.stage == ERASE:
                erased.setdefault(record.key, commit.version)
            elif record.key not in newest:
                newest[record.key] = _with_changes(commit, record, others, erased.get(record.key, 0))
        if commit.changed:
            others.append(commit)
    return newest


def _with_changes(commit: LogCommit, record: Record, later: Sequence[LogCommit], erased: int) -> Commit:
    """A record as the commits after its own leave it; `later` the newest first, `erased` the newest of `ncs erase`."""
    changes = next((other for other in later if other.changes(record.key)), None)
    if changes is None:
        return Commit(commit.version, commit.written, record, max(commit.version, erased))
    note = {CHANGED: f"{changes.operation}, version {changes.version}"}
    changed = replace(record, provenance=record.provenance | note, facts=record.facts | note)
    return Commit(changes.version, changes.written, changed, max(changes.version, erased))


def newest_first(uri: str, version: int | None) -> Iterator[LogCommit]:
    """The commits of the table at `uri` that its log still has, up to a version, the newest first."""
    folder = storage.join(uri, "_delta_log")
    entries = []
    for name, stamp in storage.files(folder).items():
        match = _COMMIT.fullmatch(name)
        if match and (version is None or int(match[1]) <= version):
            entries.append((int(match[1]), name, stamp))
    for number, name, stamp in sorted(entries, reverse=True):
        yield _parse(storage.join(folder, name), number, stamp)


@lru_cache(maxsize=20_000)
def _parse(path: str, version: int, stamp: tuple[int, str]) -> LogCommit:
    """`stamp` (size and time of change) tells a table that was removed and made again from the one before."""
    lines = storage.read_bytes(path).splitlines()
    try:
        info: dict[str, Any] = next((json.loads(line)["commitInfo"] for line in lines if _INFO in line[:20]), {})
        records = parse_message(info.get("userMetadata"))
        # A stage changes what its records name and nothing else, so that its long list of files need not be parsed.
        changed = frozenset() if records else frozenset(_changed(lines))
    except (ValueError, KeyError, AttributeError) as err:
        raise DataError(f"{path} is no commit of a Delta log ({err}); restore it, or write the table again") from None
    written = datetime.fromtimestamp(info.get("timestamp", 0) / 1000, UTC)
    operation = str(info.get("operation", "a write"))
    target = (info.get("operationParameters") or {}).get("version") if operation == "RESTORE" else None
    restores = int(target) if target is not None and str(target).isdecimal() else None
    return LogCommit(version, written, operation, records, changed, restores)


def parse_message(text: object) -> tuple[Record, ...]:
    """The records in a commit's message; none if it is not a stage's: other programs write what they like there."""
    try:
        values = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return ()
    if not isinstance(values, list):
        return ()
    values = [_renamed(value) for value in values]
    return tuple(Record(**value) for value in values) if all(map(_is_record, values)) else ()


def _renamed(value: object) -> Any:
    """The version before called a record's provenance `made_from`."""
    if isinstance(value, dict) and "made_from" in value:
        return {"provenance" if key == "made_from" else key: inner for key, inner in value.items()}
    return value


def _is_record(value: object) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == set(_KEYS)
        and all(isinstance(value[key], str) for key in ("stage", "key"))
        and all(isinstance(value[key], dict) for key in ("provenance", "facts"))
    )


def _changed(lines: list[bytes]) -> Iterator[str]:
    """Values of the partitions whose rows a commit changed; a file that only lays rows out again changes none."""
    for line in lines:
        if b'"add"' not in line[:10] and b'"remove"' not in line[:13]:
            continue
        (action,) = json.loads(line).values()
        if not action.get("dataChange", True):
            continue
        values = action.get("partitionValues")
        if values is None:  # a removed file may lack them; its path has them
            folders = posixpath.dirname(unquote(action["path"])).split("/")
            values = dict(folder.split("=", 1) for folder in folders if "=" in folder)
        yield from (str(value) for value in values.values()) if values else [EVERY]
