"""The layout of a lake below its root, and the provenance in each Delta commit.

Read by both halves, so it imports neither Spark nor torch: the log of a Delta table is read by `deltalake`.
"""

import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from ncs.config import Config
from ncs.days import Days
from ncs.errors import DataError, first_line
from ncs.lake import damage, storage
from ncs.lake.commits import ALL, CHANGED, ERASE, Commit, Record, newest_by_key  # noqa: F401
from ncs.lake.documents import Origin
from ncs.lake.names import (  # noqa: F401  (by these names for the modules that read and write)
    CALIBRATION,
    CLICKS,
    COMPARISONS,
    DAILY_STATISTICS,
    DIFFERENCES,
    DRAWN_ROWS,
    EVALUATIONS,
    IMPRESSIONS,
    MASKS,
    PLAYS,
    PREDICTIONS,
    PROGRESS,
    QUARANTINE,
    REGISTRY,
    RUN_DIFFERENCES,
    SAMPLES,
    SIMULATIONS,
    SLICES,
    USERS,
    VERDICTS,
    VIDEOS,
    VOCABULARY,
)

_RUN_ID = re.compile(r"[A-Za-z0-9_-]{1,256}")
_WORLD = ("adapter", "source", "timezone", "impressions", "seed", "synthetic")
"""The keys of `logs` that a generated world follows from, beside its days."""


def user_metadata(records: Iterable[Record]) -> str:
    """The text that a commit carries as Delta's `userMetadata`."""
    return json.dumps([asdict(record) for record in records], sort_keys=True)


def check_run_id(run_id: object, where: str) -> str:
    """A run's id, which becomes part of paths and of SQL. Raises DataError, with `where` it stands, if it is none."""
    if not isinstance(run_id, str) or not _RUN_ID.fullmatch(run_id):
        raise DataError(f"{where} names a run {run_id!r}, letters, digits, - and _ expected; run `ncs train`")
    return run_id


def table_name(uri: str) -> str:
    """The name of the table that stands at a URI: its layer and its own."""
    return "/".join(uri.rstrip("/").split("/")[-2:])


@dataclass(frozen=True)
class Lake:
    """A lake root: a folder, or a URI that Spark, deltalake and fsspec understand."""

    root: str

    @classmethod
    def at(cls, root: str) -> "Lake":
        """The lake at a root, made absolute so that every process means the same place."""
        return cls(storage.absolute(root))

    def uri(self, *parts: str) -> str:
        """Where a table or a folder of files stands."""
        return storage.join(self.root, *parts)

    @property
    def landing(self) -> str:
        """Where generated logs land."""
        return self.uri("landing")

    def bind(self, conf: Config, fills: bool = True) -> None:
        """Tie the lake to its logs at first use; afterwards refuse logs of another origin.

        What follows from the logs is rebuilt when the configuration changes. The logs themselves are the lake's
        identity: two origins in one lake would be mixed in silence. A command that does not fill it writes nothing.
        """
        logs = conf.part("logs")["logs"]
        if logs["source"] is None:  # a generated world: its days are part of it
            logs = {key: logs[key] for key in _WORLD} | {"days": str(logs["days"])}
        else:
            logs = {key: logs[key] for key in ("adapter", "timezone")}
            logs["source"] = storage.absolute(conf.logs.source or "")
        path = self.uri("lake.json")
        if not storage.exists(path):
            if fills:
                storage.write_json(path, {"logs": logs})
            return
        remedy = "restore it, or remove it: the same command, with the logs that the lake was made from, writes it"
        recorded = storage.read_json(path, Origin, remedy)["logs"]
        differing = [key for key in sorted({*recorded, *logs}) if recorded.get(key) != logs.get(key)]
        if differing and self._is_empty():  # whatever was wrong before, nothing was made from it
            if fills:
                storage.write_json(path, {"logs": logs})
        elif differing:
            what = "; ".join(f"logs.{key} is {recorded.get(key)!r} there, {logs.get(key)!r} here" for key in differing)
            raise DataError(
                f"the lake {self.root} was made from other logs: {what}. Use another --lake, or remove this one"
            )

    def _is_empty(self) -> bool:
        """Whether no log has come into the lake yet."""
        return not any(storage.exists(self.uri(name)) for name in ("bronze", "landing"))

    def table(self, name: str, version: int | None = None) -> DeltaTable:
        """A Delta table at a version. Raises DataError if the table or the version is gone."""
        uri = self.uri(name)
        try:
            return DeltaTable(storage.alias(uri), version=version)
        except TableNotFoundError:
            remedy = "run the stage that writes it, or `ncs run` for all of them"
            raise DataError(f"{name} is not in the lake {self.root}; {remedy}") from None
        except Exception as err:
            if version is None:
                raise DataError(f"{name} in the lake {self.root} cannot be read: {err}") from None
            raise DataError(
                f"version {version} of {name} is gone from the lake {self.root} (vacuumed, or the table was made "
                f"again); run `ncs train` again on the version that is there"
            ) from None

    def read(
        self, name: str, version: int, columns: list[str], partitions: list[tuple[str, str, str]] | None = None
    ) -> pa.Table:
        """Columns of a table, or of partitions of it, that fits into memory, at a version.

        A column is null in rows from before it. Partitions are given as `(column, "=", value)`. Raises DataError if a
        file of it is gone.
        """
        parts = []
        self.require_whole_files(self.table(name, version), name)
        for uri in self._files(name, version, partitions or []):
            try:
                with storage.open_file(uri) as file:
                    parquet = pq.ParquetFile(file)
                    damage.verify(file, parquet.metadata, columns)
                    parts.append(parquet.read(columns))
            except FileNotFoundError:
                raise DataError(
                    f"{uri} of {name} is gone (vacuumed?), though version {version} lists it; run the same command "
                    "again, which takes the version that is there now"
                ) from None
            except (pa.ArrowException, OSError, ValueError) as err:
                raise damage.damaged(uri, first_line(err)) from None
        return pa.concat_tables(parts, promote_options="default") if parts else pa.table({name: [] for name in columns})

    def rows_of_run(self, name: str, run_id: str) -> list[dict[str, Any]]:
        """The newest rows of a run in a table of results, in no particular order; none if there is no table."""
        if not self.has(name):
            return []
        table, columns = self.table(name), self.columns(name)
        partitioned = "run_id" in table.metadata().partition_columns
        rows = self.read(name, table.version(), columns, [("run_id", "=", run_id)] if partitioned else None).to_pylist()
        nulls: dict[str, Any] = dict.fromkeys(columns) | ({"run_id": run_id} if partitioned else {})
        return [whole for row in rows if (whole := nulls | row)["run_id"] == run_id]

    def _files(self, name: str, version: int, partitions: list[tuple[str, str, str]]) -> list[str]:
        """The live files of partitions of a table; deltalake's own `file_uris` are URLs, with signs escaped."""
        added = pa.table(self.table(name, version).get_add_actions(flatten=True)).to_pylist()
        return [
            self.uri(name, file["path"])
            for file in added
            if all(str(file[f"partition.{column}"]) == value for column, _, value in partitions)
        ]

    def require_whole_files(self, table: DeltaTable, name: str) -> None:
        """Raise DataError if files of a table hold rows that are deleted: whoever reads them whole would bring them
        back."""
        deleted = _deleted_rows(table)
        if deleted:
            raise DataError(
                f"{name} version {table.version()} has deletion vectors: another program has deleted "
                f"{sum(deleted.values()):,} rows that still stand in {len(deleted)} of its files, among them "
                f"{min(deleted)}, and files are read whole here. Run `REORG TABLE delta.`{self.uri(name)}` APPLY "
                f"(PURGE)` in Spark, or `ncs run`, which writes these parts of {name} again"
            )

    def has(self, name: str) -> bool:
        """Whether a table is there."""
        uri = self.uri(name)
        return storage.exists(storage.join(uri, "_delta_log")) and DeltaTable.is_deltatable(storage.alias(uri))

    def version(self, name: str) -> int:
        """The newest version of a table."""
        return self.table(name).version()

    def columns(self, name: str) -> list[str]:
        """The names of a table's columns. Raises DataError if there is no table."""
        return [column.name for column in self.table(name).schema().fields]

    def days(self, name: str) -> set[date]:
        """The days that a table's commits name."""
        return {date.fromisoformat(key) for key in self.commits(name)}

    def commits(self, name: str, version: int | None = None) -> dict[str, Commit]:
        """The newest commit of each key of a table, up to a version. Empty if there is no table."""
        return newest_by_key(self.uri(name), version) if self.has(name) else {}

    def records(self, name: str, version: int | None = None) -> dict[str, tuple[int, Record]]:
        """What `commits` say: key -> (version, record)."""
        return {key: (commit.version, commit.record) for key, commit in self.commits(name, version).items()}

    def rows_by_day(self, name: str, version: int | None = None) -> dict[str, int]:
        """How many rows a table has of each day, by its log alone; of one without days, of `all`; see `rows_by`."""
        return self.rows_by("day", name, version)

    def rows_by(self, partition: str, name: str, version: int | None = None) -> dict[str, int]:
        """How many rows a table has of each value of a partition column, by its log alone; without it, of `all`.

        Rows that a deletion vector marks as deleted are not counted. A file whose rows another writer has left
        uncounted says so itself.
        """
        table = self.table(name, version)
        added = table.get_add_actions(flatten=True)
        paths = added.column("path").to_pylist()
        counted = zip(paths, added.column("num_records").to_pylist(), strict=True)
        count = [rows if rows is not None else _count_rows(self.uri(name, path), name) for path, rows in counted]
        column = f"partition.{partition}"
        keys = added.column(column).to_pylist() if column in added.schema.names else [ALL] * len(count)
        deleted = _deleted_rows(table)
        rows: Counter[str] = Counter()
        for key, number, path in zip(map(str, keys), count, paths, strict=True):
            rows[key] += number - deleted.get(posixpath.basename(path), 0)
        return dict(rows)

    def times_by_day(self, name: str) -> dict[str, tuple[datetime, datetime] | None]:
        """The earliest and the latest `ts` of each day's rows, by the table's log alone; None where it does not say.

        Days without any time are left out, as are all of a table that is not there.
        """
        if not self.has(name):
            return {}
        added = self.table(name).get_add_actions(flatten=True)
        names = ("partition.day", "num_records", "null_count.ts", "min.ts", "max.ts")
        columns = [
            added.column(column).to_pylist() if column in added.schema.names else [None] * added.num_rows
            for column in names
        ]
        times: dict[str, tuple[datetime, datetime] | None] = {}
        for day, rows, nulls, first, last in zip(*columns, strict=True):
            if rows is not None and rows == nulls:
                continue
            other = times.get(str(day), (first, last))
            known = first is not None and last is not None and other is not None
            times[str(day)] = (min(first, other[0]), max(last, other[1])) if known and other else None
        return times

    def inputs(self, *names: str, days: Days | None = None) -> dict[str, int]:
        """The versions at which the days of tables (or their whole, `all`) were last written: `name/key` -> version."""
        keys = [str(day) for day in days] if days else [ALL]
        return {
            f"{name}/{key}": records[key][0]
            for name in names
            for records in [self.records(name)]
            for key in keys
            if key in records
        }


def _deleted_rows(table: DeltaTable) -> dict[str, int]:
    """Name of a file -> how many of its rows a deletion vector marks as deleted."""
    if "deletionVectors" not in (table.protocol().reader_features or []):
        return {}
    deleted = {}
    for batch in table.deletion_vectors():
        files = pa.record_batch(batch)
        for uri, kept in zip(files["filepath"], files["selection_vector"], strict=True):
            deleted[posixpath.basename(uri.as_py())] = len(kept.values) - pc.sum(kept.values).as_py()
    return deleted


def _count_rows(uri: str, name: str) -> int:
    """The rows of a Parquet file, by its footer."""
    try:
        with storage.open_file(uri) as file:
            return pq.read_metadata(file).num_rows
    except (OSError, pa.ArrowInvalid) as err:
        raise DataError(f"{uri} of {name} cannot be read ({err}); write its part of the table again") from None
