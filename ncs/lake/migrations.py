"""How a table comes from one version of the contracts to the next."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from ncs.errors import DataError, first_line
from ncs.lake import contract, layout, storage
from ncs.lake.layout import table_name
from ncs.lake.tables import declared_table
from ncs.text import quoted

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def migrate(uri: str) -> list[int]:
    """Take a table through every step that it lacks. Returns the versions that it came to, none if it was up to date.

    Killed between, it goes on from there: the version is set last.

    Raises:
        DataError: rows that are there break a constraint that the table is to have, or a newer ncs made the table.
    """
    before = contract.schema_version(_table(uri))
    if before > contract.SCHEMA_VERSION:
        raise DataError(
            f"{uri} is of schema version {before}, this ncs knows {contract.SCHEMA_VERSION}; use a newer ncs"
        )
    steps = range(before + 1, contract.SCHEMA_VERSION + 1)
    for version in steps:
        _STEPS[version](uri)
        _set(uri, {contract.VERSION_PROPERTY: str(version)})
    return list(steps)


def is_untyped(uri: str) -> bool:
    """Whether a table has columns without a type: version 0.1 left those so that never had a value (void)."""
    try:
        DeltaTable(storage.alias(uri)).schema()
    except TableNotFoundError:
        return False
    except Exception:  # whatever deltalake says of a type that it does not know
        return True
    return False


def type_empty_columns(spark: "SparkSession", uri: str) -> None:
    """Give the columns without a type the declared one. Spark reads such a table, deltalake does not.

    The rewritten table is of version 0, so that `migrate` sets its constraints and properties again.
    """
    from pyspark.sql import functions as F

    rows = spark.read.format("delta").load(uri)
    names = {_RENAMED.get(name, name): name for name in rows.columns}
    typed = [
        F.col(names[name]).alias(name) if name in names else F.lit(None).cast(column.type).alias(name)
        for name, column in declared_table(table_name(uri)).columns.items()
    ]
    properties = f"'delta.appendOnly' = 'false', '{contract.VERSION_PROPERTY}' = '0'"
    spark.sql(f"ALTER TABLE delta.{quoted(uri)} SET TBLPROPERTIES ({properties})")
    rows.select(*typed).write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(uri)


def _to_contract(uri: str) -> None:
    """From tables without contracts. A nullable column stays so in Delta: a CHECK stands for NOT NULL."""
    table = _table(uri)
    name = table_name(uri)
    declared = contract.declared_as(name, table.schema())
    given = {f"{column}_is_given": f"{column} IS NOT NULL" for column in declared.required}
    for check, condition in {**given, **declared.constraints}.items():
        if f"delta.constraints.{check}" not in table.metadata().configuration:
            try:
                table.alter.add_constraint({check: condition})
            except DeltaError as err:
                raise DataError(
                    f"{uri}: its rows break {condition!r} ({first_line(err)}); fix or remove the table and write "
                    f"it again"
                ) from None
    table.alter.set_table_description(declared.comment)
    _describe_columns(table, name)
    _set(uri, {key: value for key, value in contract.properties(declared).items() if key != contract.VERSION_PROPERTY})


_RENAMED = {"system": "model", "pctr_system": "pctr_model", "pcvr_system": "pcvr_model"}
"""Columns of version 1, and what they are called since."""


def _rename_columns(uri: str) -> None:
    """Rewrite a table that has columns under their old names; each commit says again what its rows come from.

    In two commits, for deltalake cannot drop a column that is never null: the new column joins, then the old one goes.
    """
    columns = [column.name for column in _table(uri).schema().fields]
    old = [column for column in columns if column in _RENAMED]
    if not old:
        return
    appended = declared_table(table_name(uri)).append_only
    if appended:
        _set(uri, {"delta.appendOnly": "false"})
    if any(_RENAMED[column] not in columns for column in old):
        _rewrite(uri, {name: [name, _RENAMED[name]] if name in old else [name] for name in columns}, set(old))
    for column in old:
        if f"delta.constraints.{column}_is_given" in _table(uri).metadata().configuration:
            _table(uri).alter.drop_constraint(f"{column}_is_given")
    new = [_RENAMED.get(name, name) for name in columns]
    _rewrite(uri, {name: [name] for name in new})
    _table(uri).alter.set_table_description(declared_table(table_name(uri)).comment)
    _describe_columns(_table(uri), table_name(uri))
    if appended:
        _set(uri, {"delta.appendOnly": "true"})


def _rewrite(uri: str, columns: Mapping[str, Sequence[str]], nullable: Collection[str] = ()) -> None:
    """Replace a table by its own rows: each column under the names that `columns` gives, some of them nullable."""
    if storage.is_aliased(uri):
        raise DataError(
            f"{uri}: a table is not rewritten below a folder of such a name; rename it, migrate, rename back"
        )
    table, name = _table(uri), table_name(uri)
    rows = table.to_pyarrow_dataset()
    fields = [
        rows.schema.field(column).with_name(new).with_nullable(new in nullable or rows.schema.field(column).nullable)
        for column, names in columns.items()
        for new in names
    ]
    taken = [column for column, names in columns.items() for _ in names]
    batches = (
        pa.RecordBatch.from_arrays([batch[c] for c in taken], schema=pa.schema(fields)) for batch in rows.to_batches()
    )
    records = [record for _, record in layout.Lake(uri.removesuffix(f"/{name}")).records(name).values()]
    write_deltalake(
        uri,
        pa.RecordBatchReader.from_batches(pa.schema(fields), batches),
        mode="overwrite",
        schema_mode="overwrite",
        partition_by=table.metadata().partition_columns or None,
        commit_properties=CommitProperties(custom_metadata={"userMetadata": layout.user_metadata(records)}),
    )


def _describe_columns(table: DeltaTable, name: str) -> None:
    columns = declared_table(name).columns
    for column in table.schema().fields:
        if column.name in columns:
            table.alter.set_column_metadata(column.name, {"comment": columns[column.name].comment})


def _table(uri: str) -> DeltaTable:
    return DeltaTable(storage.alias(uri))


def _set(uri: str, properties: dict[str, str]) -> None:
    _table(uri).alter.set_table_properties(properties, raise_if_not_exists=False)


_STEPS: dict[int, Callable[[str], None]] = {1: _to_contract, 2: _rename_columns}
"""Version -> what brings a table of the version before to it."""
