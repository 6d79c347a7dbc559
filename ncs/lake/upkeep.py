"""Upkeep of a lake: which files are small, which nobody needs any more, which a stored model still does.

Read and removed through `deltalake`, so that a report starts no Spark; rewriting rows is left to Spark
(`jobs/pipeline/maintain.py`).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from deltalake import DeltaTable, PostCommitHookProperties

from ncs.errors import DataError
from ncs.lake import storage
from ncs.lake.documents import RunDescription
from ncs.lake.erasure import models_with_erased_users
from ncs.lake.layout import Lake
from ncs.lake.tables import declared_table

_HOOKS = PostCommitHookProperties(cleanup_expired_logs=False)
"""The log is kept whole: it says what made each day (`Lake.records`), and how to find the versions of models."""


@dataclass(frozen=True)
class Upkeep:
    """A table's files, and what upkeep would do with them."""

    table: str
    files: int
    size: int
    """Bytes of the newest version."""
    crowded: dict[str, int]
    """Part (a day, as the partition's values joined by `/`) -> its small files, where there are two or more."""
    unused: int
    """Files that no version within the retention, and no stored model, needs."""
    pinned: tuple[int, ...]
    """Versions that stored models were trained on, of those that are still there."""


def tables(lake: Lake) -> list[str]:
    """All tables of a lake."""
    layers = ("bronze", "silver", "gold")
    names = [f"{layer}/{name}" for layer in layers for name in storage.folders(lake.uri(layer))]
    return [name for name in names if lake.has(name)]


def pinned_versions(lake: Lake) -> dict[str, set[int]]:
    """Table -> the versions that the runs below `models/` were trained on; of those that saw erased users none.

    Raises DataError for a run that cannot be read: what it needs would not be known.
    """
    pinned: dict[str, set[int]] = {}
    marked = models_with_erased_users(lake)
    for run_id in storage.folders(lake.uri("models")):
        if run_id in marked:
            continue  # its version would keep the rows that had to go
        path = lake.uri("models", run_id, "run.json")
        if not storage.exists(path):
            continue  # still training, on versions that are younger than the retention
        remedy = "restore it, or remove the folder: it says which versions of the tables the models need"
        for table, version in storage.read_json(path, RunDescription, remedy)["lineage"]["tables"].items():
            pinned.setdefault(table, set()).add(version)
    return pinned


def survey(lake: Lake, table: str, small: int, retain: timedelta, pinned: set[int]) -> Upkeep:
    """Look at a table; nothing is changed. `small`: bytes below which a file is small."""
    delta = lake.table(table)
    crowd: Counter[str] = Counter()
    added = pa.table(delta.get_add_actions(flatten=True)).to_pylist()
    for file in added:
        part = "/".join(str(file[key]) for key in sorted(file) if key.startswith("partition."))
        crowd[part] += file["size_bytes"] < small
    there, present = _there(lake, table, pinned), set(storage.files(lake.uri(table)))
    return Upkeep(
        table=table,
        files=len(added),
        size=sum(file["size_bytes"] for file in added),
        crowded={part: count for part, count in sorted(crowd.items()) if count > 1 and declared_table(table).compact},
        # What was removed before is named again, and so are Hadoop's checksums.
        unused=len(present.intersection(_vacuum(delta, retain, there, dry_run=True))),
        pinned=tuple(there),
    )


def vacuum(lake: Lake, table: str, retain: timedelta, pinned: set[int]) -> None:
    """Remove what `Upkeep.unused` counts, files that killed writers have left among them."""
    uri = lake.uri(table)
    unused = _vacuum(lake.table(table), retain, _there(lake, table, pinned), dry_run=storage.is_aliased(uri))
    if storage.is_aliased(uri):  # deltalake would remove links
        for path in unused:
            storage.remove(storage.join(uri, path))


def leftovers(lake: Lake, retain: timedelta) -> list[str]:
    """Halves of files that killed writers have left beside the tables."""
    before = datetime.now(UTC) - retain
    folders = ("landing/_generated", "models", "reports", "validation")
    return [uri for folder in folders for uri in storage.leftovers(lake.uri(folder), before)]


def _there(lake: Lake, table: str, pinned: set[int]) -> Sequence[int]:
    """The pinned versions that can still be read: of a table that was rebuilt its older ones are gone."""
    paths = []
    for version in sorted(pinned):
        try:
            lake.table(table, version)
        except DataError:
            continue
        paths.append(version)
    return paths


def _vacuum(delta: DeltaTable, retain: timedelta, keep: Sequence[int], dry_run: bool) -> list[str]:
    return delta.vacuum(
        retention_hours=int(retain / timedelta(hours=1)),
        enforce_retention_duration=False,  # the configuration's own least is a day
        full=True,
        keep_versions=list(keep),
        dry_run=dry_run,
        post_commithook_properties=_HOOKS,
    )
