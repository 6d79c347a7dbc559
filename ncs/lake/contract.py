"""The contract of a table with its readers and writers: NOT NULL and CHECK constraints, comments, properties.

Delta holds every writer to them, ours or another. They are set when the table is created, in one commit made without
Spark; a table from before a contract changed is brought up to it by `ncs migrate` (`ncs.lake.migrations`).
"""

import io
import json
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, Field, Schema, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError
from deltalake.transaction import AddAction

from ncs.errors import DataError
from ncs.lake import layout, storage, tables
from ncs.lake.tables import declared_table, is_sample_table
from ncs.lake.tables.table import SHARE, Table

SCHEMA_VERSION = 2
"""The version of the contracts below; `ncs.lake.migrations` says how a table comes to each."""

VERSION_PROPERTY = "ncs.schemaVersion"
PROPERTIES = {
    VERSION_PROPERTY: str(SCHEMA_VERSION),
    "delta.enableChangeDataFeed": "true",
    # A commit records the provenance of its rows. Delta's default of 30 days would forget that, and the versions that
    # models are pinned to; a commit of a day is a few kB.
    "delta.logRetentionDuration": "interval 3650 days",
}

_CHECK = "delta.constraints."
_writers: Counter[str] = Counter()
_created: set[str] = set()
"""Tables that this process has created, until a write to them has ended."""
_lock = threading.RLock()


TABLES = tuple(name for name in tables.TABLES if not is_sample_table(name))
"""The tables that have a contract, the tasks' sample tables aside."""


def properties(table: Table) -> dict[str, str]:
    """The properties that a table is created with, its constraints aside."""
    return {**PROPERTIES, "delta.appendOnly": "true"} if table.append_only else PROPERTIES


@contextmanager
def creating(uri: str) -> Iterator[None]:
    """Around a write: if it fails, and `ensure` created the table for it, nothing is left of the table."""
    with _lock:
        _writers[uri] += 1
    try:
        yield
        _created.discard(uri)  # a first write may be of no rows, which is no commit
    finally:
        with _lock:
            _writers[uri] -= 1
            if not _writers[uri] and uri in _created:  # no other thread waits for the table to get rows
                _created.discard(uri)
                if DeltaTable(storage.alias(uri)).version() == 0:
                    storage.remove(uri)


def ensure(uri: str, schema: Schema, partition: Sequence[str], labels: Sequence[str] | None = None) -> None:
    """Create the table under its contract, if it is not there; else refuse one made under another version.

    The checks of a task's sample table follow its labels.

    Args:
        uri: where it stands, `<lake>/<layer>/<name>`.
        schema: its columns; further ones may join later.
        partition: the columns that part its files.
        labels: the label columns of a task's sample table; None: its floats.

    Raises:
        DataError: the table is of an older or a newer version of the contracts.
    """
    try:
        table = DeltaTable(storage.alias(uri))
        if table.version() == 0 and "timestamp_ntz" in table.schema().to_json():
            storage.remove(uri)  # never got rows: an earlier version created it so that Spark cannot read it
            raise TableNotFoundError
    except TableNotFoundError:
        _create(uri, schema, partition, labels)
        _created.add(uri)
        return
    version = schema_version(table)
    if version != SCHEMA_VERSION:
        remedy = "run `ncs migrate`" if version < SCHEMA_VERSION else "use the ncs that wrote it, or a newer one"
        raise DataError(f"{uri} is of schema version {version}, this ncs writes {SCHEMA_VERSION}; {remedy}")
    if is_sample_table(layout.table_name(uri)):
        with _lock:
            _follow_labels(uri, layout.table_name(uri), schema, label_columns(schema) if labels is None else labels)


def _follow_labels(uri: str, name: str, schema: Schema, labels: Sequence[str]) -> None:
    """Give a task's sample table the checks of its labels as they are now; no row that is there has a new one."""
    table = DeltaTable(storage.alias(uri))
    columns = {column.name for column in schema.fields}
    properties = table.metadata().configuration
    before = [key.removeprefix(_CHECK).removesuffix(SHARE) for key in properties if key.endswith(SHARE)]
    gone = [label for label in before if label not in columns]
    declared = declared_table(name).with_labels([*labels, *gone])
    wanted = {f"{_CHECK}{check}": text for check, text in declared.constraints.items()}
    for key in properties:
        if key.startswith(_CHECK) and key.endswith(SHARE) and key not in wanted:
            table.alter.drop_constraint(key.removeprefix(_CHECK))
    changed = {key: text for key, text in wanted.items() if properties.get(key) != text}
    if changed:
        DeltaTable(storage.alias(uri)).alter.set_table_properties(changed, raise_if_not_exists=False)


def keep_required(uri: str) -> None:
    """Check that required columns are given: NOT NULL itself is lost where a table's schema is written again."""
    table, required = DeltaTable(storage.alias(uri)), declared_table(layout.table_name(uri)).required
    checks = {f"{_CHECK}{column}_is_given": f"{column} IS NOT NULL" for column in required}
    missing = {key: text for key, text in checks.items() if key not in table.metadata().configuration}
    if missing:
        table.alter.set_table_properties(missing, raise_if_not_exists=False)


def append(lake: layout.Lake, table: str, rows: pa.Table, after: int | None = None) -> None:
    """Add rows to a table that nothing is ever replaced in; a new column is null in the rows before.

    A column has its declared type, whether or not any of the rows has a value in it.

    Args:
        lake: the lake.
        table: its name.
        rows: what is added.
        after: the version that the rows were decided on; None: whatever it is now.

    Raises:
        DataError: as `ensure`.
        CommitFailedError: the table has a commit after version `after`; nothing was added.
    """
    uri, declared = lake.uri(table), declared_table(table).arrow
    fields = [declared.field(own.name) if own.name in declared.names else own for own in rows.schema]
    rows = rows.cast(pa.schema(fields))
    with creating(uri):
        ensure(uri, Schema.from_arrow(rows.schema), [])
        delta = DeltaTable(storage.alias(uri), version=after)
        # Without a second try the commit fails where its version is taken.
        properties = None if after is None else CommitProperties(max_commit_retries=0)
        if storage.is_aliased(uri):
            _append_file(uri, delta, rows, properties)
        else:
            write_deltalake(delta, rows, mode="append", schema_mode="merge", commit_properties=properties)


def made_at(lake: layout.Lake, table: str, key: str) -> dict[str, datetime]:
    """Value of the column `key` -> when its rows were appended; nothing where there is no table."""
    if not lake.has(table):
        return {}
    rows = lake.read(table, lake.version(table), [key, "made_at"])
    return dict(zip(rows[key].to_pylist(), rows["made_at"].to_pylist(), strict=True))


def _append_file(uri: str, delta: DeltaTable, rows: pa.Table, properties: CommitProperties | None) -> None:
    """The same as `write_deltalake`, where deltalake cannot write into the table's folder."""
    known = {column.name for column in delta.schema().fields}
    joining = [column for column in Schema.from_arrow(rows.schema).fields if column.name not in known]
    if joining:
        delta.alter.add_columns(joining)
        delta = DeltaTable(storage.alias(uri))
    name = f"part-00000-{uuid.uuid4()}-c000.snappy.parquet"
    content = io.BytesIO()
    pq.write_table(rows, content)
    storage.write_bytes(storage.join(uri, name), content.getvalue())
    stats = json.dumps({"numRecords": len(rows)})
    added = AddAction(name, content.tell(), {}, int(time.time() * 1000), True, stats)
    delta.create_write_transaction([added], "append", delta.schema(), commit_properties=properties)


def schema_version(table: DeltaTable) -> int:
    """The version of the contracts that a table was made under; 0: before there were any."""
    return int(table.metadata().configuration.get(VERSION_PROPERTY, "0"))


def label_columns(schema: Schema) -> list[str]:
    """The label columns of a task's sample table without features that are numbers: its floats."""
    return [column.name for column in schema.fields if getattr(column.type, "type", "") == "float"]


def declared_as(name: str, schema: Schema, labels: Sequence[str] | None = None) -> Table:
    """The declaration of a table; of a task's samples with the labels named, or (None) the floats of `schema`."""
    if not is_sample_table(name):
        return declared_table(name)
    return declared_table(name).with_labels(label_columns(schema) if labels is None else labels)


def _create(uri: str, schema: Schema, partition: Sequence[str], labels: Sequence[str] | None) -> None:
    declared = declared_as(layout.table_name(uri), schema, labels)
    columns = [
        Field(
            column.name,
            column.type,
            nullable=column.name not in declared.required,
            metadata={"comment": declared.columns[column.name].comment} if column.name in declared.columns else None,
        )
        for column in schema.fields
    ]
    checks = {f"{_CHECK}{check}": condition for check, condition in declared.constraints.items()}
    if storage.is_aliased(uri):
        os.makedirs(storage.join(uri, "_delta_log"), exist_ok=True)
    try:
        DeltaTable.create(
            storage.alias(uri),
            Schema(columns),
            mode="ignore",
            partition_by=list(partition),
            name=declared.name,
            description=declared.comment,
            configuration={**properties(declared), **checks},
            raise_if_key_not_exists=False,  # our own property is none of Delta's
        )
    except DeltaError:
        if not DeltaTable.is_deltatable(storage.alias(uri)):  # another process was first
            raise
