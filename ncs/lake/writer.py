"""Writing Delta tables: days, or a whole, replaced in one commit that says what it was made from.

Two processes may write at once: what Delta refuses because of the other's commit is tried again. Nothing is lost or
doubled by that, for every write replaces what it writes.
"""

import random
import time
from collections.abc import Callable, Sequence
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
from deltalake import Schema
from pyspark.sql import DataFrame, DataFrameWriter

from ncs.errors import DataError
from ncs.lake import contract
from ncs.lake.layout import Record, check_run_id, user_metadata

_CONFLICTS = (
    ConcurrentAppendException,
    ConcurrentDeleteDeleteException,
    ConcurrentDeleteReadException,
    ConcurrentWriteException,
    DeltaConcurrentModificationException,
    MetadataChangedException,
    ProtocolChangedException,
)
_TRIES = 8
_FIRST_PAUSE = 0.5
"""Seconds, on average; each further pause is twice as long, so that all of them last about a minute."""


def replace_days(
    rows: DataFrame,
    uri: str,
    records: Sequence[Record],
    partition: tuple[str, ...] = ("day",),
    rows_per_file: int = 0,
) -> None:
    """Put `rows` in the place of the days that `records` name; no other day is last_lookup.

    A reader sees these days as they were or as they are now, never between. Writing the same twice changes no
    meaning. A `rows_per_file` of 0 sets no bound.
    """
    days = ", ".join(f"'{date.fromisoformat(record.key)}'" for record in records)
    # Rows of another day are refused by Delta.
    writer = _overwrite(rows, uri, records, partition).option("replaceWhere", f"day in ({days})")
    _commit(writer.option("maxRecordsPerFile", rows_per_file), uri)


def replace_run(rows: DataFrame, uri: str, record: Record, partition: tuple[str, ...]) -> None:
    """Put `rows` in the place of those of the run that `record.key` names; a new column is null in all others.

    Raises DataError for an id that is none of a run: Delta takes the condition as SQL alone.
    """
    condition = f"run_id = '{check_run_id(record.key, uri)}'"
    _commit(_overwrite(rows, uri, [record], partition).option("replaceWhere", condition), uri)


def replace_all(rows: DataFrame, uri: str, record: Record) -> None:
    """Put `rows` in the place of the whole table; a column that they lack is null from now on."""
    _commit(_overwrite(rows, uri, [record], ()), uri)


def retry_conflicts(work: Callable[[], None], what: str) -> None:
    """Do something that ends in a commit, again as long as another process's commit comes between.

    Raises DataError, which names `what`, when that does not end.
    """
    for attempt in range(_TRIES):
        try:
            return work()
        except _CONFLICTS as err:
            conflict = str(err).strip().partition("\n")[0]
        if attempt + 1 < _TRIES:
            time.sleep(_FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.5))
    raise DataError(f"{what}: other writers came between {_TRIES} times, the last said {conflict!r}; run it again")


def _overwrite(rows: DataFrame, uri: str, records: Sequence[Record], partition: Sequence[str]) -> DataFrameWriter:
    contract.ensure(uri, Schema.from_json(rows.schema.json()), partition)
    writer = rows.write.format("delta").mode("overwrite").partitionBy(*partition)
    # A new column of the logs flows through.
    return writer.option("mergeSchema", "true").option("userMetadata", user_metadata(records))


def _commit(writer: DataFrameWriter, uri: str) -> None:
    retry_conflicts(lambda: writer.save(uri), uri)
