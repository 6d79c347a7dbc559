"""The quarantine by day, log and reason, with some of its rows; read file by file, without Spark."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow.parquet as pq

from ncs.days import Days
from ncs.lake import storage
from ncs.lake.layout import QUARANTINE, Lake

_SHOWN = 2


@dataclass
class Reason:
    """Rows of one log of one day that were set aside for one reason."""

    day: str
    log: str
    reason: str
    rows: int = 0
    examples: list[str] = field(default_factory=list)
    """Raw rows, as JSON."""


def reasons(lake: Lake, days: Days, log: str | None = None, reason: str | None = None) -> list[Reason]:
    """Count the quarantine of some days, of all logs and reasons unless one is named.

    Raises DataError if there is no quarantine yet.
    """
    by_key: dict[tuple[str, str, str], Reason] = {}
    for day, of_log, why, row in _rows(lake, {str(day) for day in days}):
        if log in (None, of_log) and reason in (None, why):
            counted = by_key.setdefault((day, of_log, why), Reason(day, of_log, why))
            counted.rows += 1
            if len(counted.examples) < _SHOWN:
                counted.examples.append(row)
    return [by_key[key] for key in sorted(by_key)]


def as_lines(counts: Iterable[Reason]) -> list[list[str]]:
    """Lines of a table, its header first."""
    lines = [["day", "log", "reason", "rows", "for example"]]
    for counted in counts:
        lines.append([counted.day, counted.log, counted.reason, f"{counted.rows:,}", counted.examples[0]])
        lines += [["", "", "", "", example] for example in counted.examples[1:]]
    return lines


def _rows(lake: Lake, days: set[str]) -> Iterator[tuple[str, str, str, str]]:
    table = lake.table(QUARANTINE)
    lake.require_whole_files(table, QUARANTINE)
    added = table.get_add_actions(flatten=True)
    files = zip(added.column("partition.day").to_pylist(), added.column("path").to_pylist(), strict=True)
    for day, path in sorted((str(day), path) for day, path in files):
        if day not in days:
            continue
        with storage.open_file(lake.uri(QUARANTINE, path)) as file:
            for batch in pq.ParquetFile(file).iter_batches(columns=["log", "reason", "row"]):
                for row in batch.to_pylist():
                    yield day, row["log"], row["reason"], row["row"]
