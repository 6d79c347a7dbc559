"""Writing Delta tables: days, or a whole, replaced in one commit that records its provenance.

Two processes may write at once: what Delta refuses because of the other's commit is tried again. Nothing is lost or
doubled by that, for every write replaces what it writes.
"""

import json
import random
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import delta.exceptions.captured  # noqa: F401  (teaches PySpark to raise the conflicts below, not a nameless Py4J error)
from delta.exceptions import (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentWriteException,
    DeltaConcurrentModificationException,
    MetadataChangedException,
    ProtocolChangedException,
)
from deltalake import DeltaTable, Schema
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, DataFrameWriter
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StringType, StructType

from ncs.errors import DataError, first_line
from ncs.lake import contract, storage
from ncs.lake.layout import Lake, Record, check_run_id, table_name, user_metadata
from ncs.lake.tables import declared_table
from ncs.lake.types import as_text, common, fits

_CONFLICTS = (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentWriteException,
    DeltaConcurrentModificationException,
    MetadataChangedException,
    ProtocolChangedException,
)
_REFUSED = re.compile(r"\[DELTA_\w+\].*")
"""Delta's errors about rows or a schema: the condition's name, and the first line of its text."""
_TRIES = 8
_FIRST_PAUSE = 0.5
"""Seconds, on average; each further pause is twice as long, so that all of them last about a minute."""


@dataclass(frozen=True)
class _Target:
    """The target of a write: a table, and the rows of it that are replaced."""

    uri: str
    partition: tuple[str, ...] = ()
    condition: str | None = None
    """SQL condition of the rows that are replaced; None: all."""
    rows_per_file: int = 0
    """0: no bound."""
    labels: Sequence[str] | None = None
    """Of a task's samples."""


def replace_days(rows: DataFrame, uri: str, records: Sequence[Record]) -> None:
    """Put `rows` in the place of the days that `records` name; no other day is changed.

    A reader sees these days as they were or as they are now, never between. Writing the same twice changes no
    meaning.
    """
    _replace(rows, _Target(uri, ("day",), _in_days(records)), records)


def replace_samples(
    rows: DataFrame, uri: str, records: Sequence[Record], labels: Sequence[str], rows_per_file: int
) -> None:
    """As `replace_days`, of a task's encoded samples; `labels`: its label columns, floats that Delta checks."""
    _replace(rows, _Target(uri, ("day", "split"), _in_days(records), rows_per_file, labels), records)


def _in_days(records: Sequence[Record]) -> str:
    """The condition of the days' rows; those of another day are refused by Delta."""
    days = ", ".join(f"'{date.fromisoformat(record.key)}'" for record in records)
    return f"day in ({days})"


def replace_run(rows: DataFrame, uri: str, record: Record, partition: tuple[str, ...]) -> None:
    """Put `rows` in the place of those of the run that `record.key` names; a new column is null in all others.

    Raises DataError for an id that is none of a run: Delta takes the condition as SQL alone.
    """
    _replace(rows, _Target(uri, partition, f"run_id = '{check_run_id(record.key, uri)}'"), [record])


def replace_models(
    rows: DataFrame, uri: str, records: Sequence[Record], run_id: str, models: Sequence[str], days: Collection[date]
) -> None:
    """Put `rows` in the place of those of models of a run on some days; the table's declaration says its partitions."""
    names = ", ".join(f"'{check_run_id(model, uri)}'" for model in models)
    listed = ", ".join(f"'{day}'" for day in days)
    condition = f"run_id = '{check_run_id(run_id, uri)}' and day in ({listed}) and model in ({names})"
    _replace(rows, _Target(uri, declared_table(table_name(uri)).partition, condition), records)


def replace_figures(
    rows: DataFrame, uri: str, records: Sequence[Record], of: Collection[tuple[str, str]], day: date
) -> None:
    """Put `rows` in the place of those of some models, by their run's id and name, on a day."""
    named = [(check_run_id(run_id, uri), check_run_id(model, uri)) for run_id, model in of]
    models = " or ".join(f"(run_id = '{run_id}' and model = '{model}')" for run_id, model in named)
    _replace(rows, _Target(uri, declared_table(table_name(uri)).partition, f"day in ('{day}') and ({models})"), records)


def replace_all(rows: DataFrame, uri: str, record: Record) -> None:
    """Put `rows` in the place of the whole table; a column that they lack is null from now on."""
    _replace(rows, _Target(uri), [record])


def retry_conflicts(work: Callable[[], None], what: str) -> None:
    """Do something that ends in a commit, again as long as another process's commit comes between.

    Raises DataError, which names `what`, when that does not end.
    """
    for attempt in range(_TRIES):
        try:
            return work()
        except _CONFLICTS as err:
            conflict = first_line(err)
        if attempt + 1 < _TRIES:
            time.sleep(_FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.5))
    raise DataError(f"{what}: other writers came between {_TRIES} times, the last said {conflict!r}; run it again")


def _replace(rows: DataFrame, target: _Target, records: Sequence[Record]) -> None:
    """Overwrite what meets a condition, or all. A table that fails to get its first rows is not left behind."""
    uri = target.uri

    def write() -> None:
        contract.ensure(uri, Schema.from_json(rows.schema.json()), target.partition, target.labels)
        types = _types(uri)
        differing = [
            column.name for column in rows.schema if column.dataType != types.get(column.name, column.dataType)
        ]
        casts = {name: types[name] for name in differing if fits(rows.schema[name].dataType, types[name])}
        taken = rows.withColumns({name: F.col(name).cast(dtype) for name, dtype in casts.items()})
        if casts.keys() != set(differing):
            _retype(taken, target, records)
            return
        writer = _writer(taken, records, target.partition).option("maxRecordsPerFile", target.rows_per_file)
        if target.condition:
            writer = writer.option("replaceWhere", target.condition)
        writer.option("mergeSchema", "true").save(uri)  # a new column of the logs flows through

    with contract.creating(uri), _naming_refusal(uri):
        retry_conflicts(write, uri)


@contextmanager
def _naming_refusal(uri: str) -> Iterator[None]:
    """Around a write: rows that Delta does not take become a DataError that names the table and Delta's own reason."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as err:
        reason = _REFUSED.search(str(err))
        if reason is None:
            raise
        raise DataError(f"{uri} does not take these rows: {' '.join(reason[0].split())}") from err


def _retype(rows: DataFrame, target: _Target, records: Sequence[Record]) -> None:
    """As `_replace`, where a column takes another type: Delta then wants the whole table written, which is one commit.

    The partitions that are kept hold the same as before. Their records are repeated, so that what depends on them is
    rebuilt with the new types.
    """
    uri, condition = target.uri, target.condition
    lake, name = Lake(uri.removesuffix(f"/{table_name(uri)}")), table_name(uri)
    contract.keep_required(uri)
    base = last = lake.version(name)
    for _ in range(_TRIES):
        kept = rows.sparkSession.read.format("delta").option("versionAsOf", base).load(uri)
        kept = kept.where(~F.coalesce(F.expr(condition), F.lit(False)) if condition else F.lit(False))
        known = {record.key for record in records}
        repeated = [record for key, (_, record) in lake.records(name, base).items() if key not in known and condition]
        said = [*records, *repeated]
        whole = _with_types(kept, rows, as_new=name.startswith("gold/"))
        _writer(whole, said, target.partition).option("overwriteSchema", "true").save(uri)
        log = DeltaTable(storage.alias(uri)).history()
        own = next(commit for commit in log if commit.get("userMetadata") == user_metadata(said))
        if own["readVersion"] == last:
            return
        base, last = own["readVersion"], own["version"]  # another's commit came before this one read: begin from it
    raise DataError(f"{uri}: other writers came between {_TRIES} times; run it again")


def _with_types(kept: DataFrame, rows: DataFrame, as_new: bool) -> DataFrame:
    """Both, with types for the values of both; `as_new`: those of the rows, and no value where one was of another."""
    casts: dict[str, DataType] = {}
    values = []
    for column in kept.schema:
        value, name = F.col(column.name), column.name
        if name in rows.columns and rows.schema[name].dataType != column.dataType:
            both = None if as_new else common(name, kept, rows, text=True)
            casts[name] = both or rows.schema[name].dataType
            text = isinstance(casts[name], StringType)
            value = F.lit(None) if as_new else as_text(value, column.dataType) if text else value
            value = value.cast(casts[name])
        values.append(value.alias(name, metadata=column.metadata))
    new = {
        name: (as_text(F.col(name), rows.schema[name].dataType) if isinstance(dtype, StringType) else F.col(name)).cast(
            dtype
        )
        for name, dtype in casts.items()
    }
    return kept.select(*values).unionByName(rows.withColumns(new), allowMissingColumns=True)


def _types(uri: str) -> dict[str, DataType]:
    schema = StructType.fromJson(json.loads(DeltaTable(storage.alias(uri)).schema().to_json()))
    return {column.name: column.dataType for column in schema}


def _writer(rows: DataFrame, records: Sequence[Record], partition: Sequence[str]) -> DataFrameWriter:
    writer = rows.write.format("delta").mode("overwrite").partitionBy(*partition)
    return writer.option("userMetadata", user_metadata(records))
