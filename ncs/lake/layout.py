"""What stands where below a lake's root, and what each Delta commit says it was made from.

Read by both halves, so it imports neither Spark nor torch: the log of a Delta table is read by `deltalake`.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from ncs.config import Config
from ncs.days import Days
from ncs.errors import DataError
from ncs.lake import damage, storage
from ncs.lake.documents import Origin

IMPRESSIONS = "bronze/impressions"
CLICKS = "bronze/clicks"
PLAYS = "bronze/plays"
USERS = "bronze/users"
VIDEOS = "bronze/videos"
SAMPLES = "silver/samples"
QUARANTINE = "silver/quarantine"
VOCABULARY = "gold/vocabulary"
PREDICTIONS = "gold/predictions"
CALIBRATION = "gold/calibration"
EVALUATIONS = "gold/evaluations"
SLICES = "gold/slices"
MASKS = "gold/masks"
COMPARISONS = "gold/comparisons"
DIFFERENCES = "gold/differences"
SIMULATIONS = "gold/simulations"
VERDICTS = "validation/verdicts"

ALL = "all"
"""The key of a record of a table that is replaced whole."""


@dataclass(frozen=True)
class Record:
    """What a commit says of a part of the table that it replaced, in the commit: there exactly when the rows are.

    `key` is that part, a day (or a run, or `all`); `provenance` everything that decided its rows: the digest of the
    configuration's keys and the versions of the inputs. A stage whose record would say the same again has nothing
    to do.
    """

    stage: str
    key: str
    provenance: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Commit:
    """The newest commit of a part of a table: its version, its time (UTC), and what it says of the part."""

    version: int
    written: datetime
    record: Record


def user_metadata(records: Iterable[Record]) -> str:
    """The text that a commit carries as Delta's `userMetadata`."""
    return json.dumps([asdict(record) for record in records], sort_keys=True)


def name_of(uri: str) -> str:
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

    def bind(self, conf: Config) -> None:
        """Tie the lake to its logs at first use; afterwards refuse logs of another origin.

        What follows from the logs is made anew when the configuration changes. The logs themselves are the lake's
        identity: two origins in one lake would be mixed in silence.
        """
        logs = conf.part("logs")["logs"]
        if logs["source"] is None:  # a generated world: its days are part of it
            logs["days"] = str(logs["days"])
        else:
            logs = {key: logs[key] for key in ("adapter", "timezone")}
            logs["source"] = storage.absolute(conf.logs.source or "")
        path = self.uri("lake.json")
        if not storage.exists(path):
            storage.write_json(path, {"logs": logs})
            return
        remedy = "restore it, or remove it: the same command, with the logs that the lake was made from, writes it"
        found = storage.read_json(path, Origin, remedy)["logs"]
        differing = [key for key in sorted({*found, *logs}) if found.get(key) != logs.get(key)]
        if differing:
            what = "; ".join(f"logs.{key} is {found.get(key)!r} there, {logs.get(key)!r} here" for key in differing)
            raise DataError(
                f"the lake {self.root} was made from other logs: {what}. Use another --lake, or remove this one"
            )

    def table(self, name: str, version: int | None = None) -> DeltaTable:
        """A Delta table at a version. Raises DataError if the table or the version is gone."""
        uri = self.uri(name)
        try:
            return DeltaTable(uri, version=version)
        except TableNotFoundError:
            raise DataError(f"{name} is not in the lake {self.root}; run the stage that writes it") from None
        except Exception as err:
            if version is None:
                raise DataError(f"{name} in the lake {self.root} cannot be read: {err}") from None
            raise DataError(
                f"version {version} of {name} is gone from the lake {self.root} (vacuumed, or the table was made "
                f"anew); run `ncs train` again on the version that is there"
            ) from None

    def read(
        self, name: str, version: int, columns: list[str], partitions: list[tuple[str, str, str]] | None = None
    ) -> pa.Table:
        """Columns of a table, or of partitions of it, that fits into memory, at a version.

        A column is null in rows from before it. Partitions are told as `(column, "=", value)`. Raises DataError if a
        file of it is gone.
        """
        parts = []
        for uri in self.table(name, version).file_uris(partitions):
            try:
                with fsspec.open(uri, "rb") as file:
                    parquet = pq.ParquetFile(file)
                    damage.verify(file, parquet.metadata, columns)
                    parts.append(parquet.read(columns))
            except FileNotFoundError:
                raise DataError(
                    f"{uri} of {name} is gone (vacuumed?), though version {version} lists it; run the same command "
                    "again, which takes the version that is there now"
                ) from None
            except (pa.ArrowException, OSError, ValueError) as err:
                raise damage.damaged(uri, str(err).partition("\n")[0]) from None
        return pa.concat_tables(parts, promote_options="default")

    def has(self, name: str) -> bool:
        """Whether a table is there."""
        return storage.exists(self.uri(name, "_delta_log")) and DeltaTable.is_deltatable(self.uri(name))

    def version(self, name: str) -> int:
        """The newest version of a table."""
        return self.table(name).version()

    def commits(self, name: str, version: int | None = None) -> dict[str, Commit]:
        """The newest commit of each key of a table, up to a version. Empty if there is no table."""
        if not self.has(name):
            return {}
        newest: dict[str, Commit] = {}
        for commit in self.table(name, version).history():  # newest first
            text = commit.get("userMetadata")
            for values in json.loads(text) if text else []:
                written = datetime.fromtimestamp(commit["timestamp"] / 1000, UTC)
                newest.setdefault(values["key"], Commit(commit["version"], written, Record(**values)))
        return newest

    def records(self, name: str, version: int | None = None) -> dict[str, tuple[int, Record]]:
        """What `commits` say: key -> (version, record)."""
        return {key: (commit.version, commit.record) for key, commit in self.commits(name, version).items()}

    def rows_by_day(self, name: str, version: int | None = None) -> dict[str, int]:
        """How many rows a table has of each day, by its log alone; of one without days, of `all`; see `rows_by`."""
        return self.rows_by("day", name, version)

    def rows_by(self, partition: str, name: str, version: int | None = None) -> dict[str, int]:
        """How many rows a table has of each value of a partition column, by its log alone; without it, of `all`.

        Raises DataError if another writer has left a file's rows uncounted.
        """
        added = self.table(name, version).get_add_actions(flatten=True)
        count = added.column("num_records").to_pylist()
        if None in count:
            raise DataError(
                f"{name} in the lake {self.root}: its log has files without a row count (numRecords), so another "
                "program has written them; ingest those days again"
            )
        column = f"partition.{partition}"
        keys = added.column(column).to_pylist() if column in added.schema.names else [ALL] * len(count)
        rows: Counter[str] = Counter()
        for key, number in zip(map(str, keys), count, strict=True):
            rows[key] += number
        return dict(rows)

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
