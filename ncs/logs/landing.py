"""Landing folders: `<source>/<log>/day=YYYY-MM-DD/` for the day logs, `<source>/users`, `<source>/videos`.

Files are Parquet, CSV with a header, or JSON lines, recognised by their names (.parquet, .csv, .json, .jsonl; the
latter three also .gz), one kind a folder, directly in it. Names that start with `_` or `.` are passed over; whatever
else is no such file is refused by its name. Text is UTF-8, or in `logs.encoding`. Times in text are ISO, and UTC where
they say no zone. Context columns of CSV and JSON are strings; columns of users and videos
are numbers where all their values are. Parquet is checked by its footers, text by a pass over the rows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncs.encodings import UTF8
from ncs.errors import DataError
from ncs.lake import storage
from ncs.lake.storage import Entry
from ncs.logs.files import parquet_columns, read_parquet
from ncs.logs.pseudonyms import USER_ID, Pseudonyms
from ncs.logs.schemas import PROFILES, SCHEMAS, LogSchema, stack, with_numbers_of_texts
from ncs.logs.text import csv_header, json_keys, read_text

_EXTENSION = re.compile(r"\.(?:(parquet)|(csv|json|jsonl)(?:\.gz)?)$")


@dataclass(frozen=True)
class Landing:
    """Logs in folders below `root`, a path or URI."""

    root: str
    pseudonyms: Pseudonyms = field(default_factory=Pseudonyms)
    encoding: str = UTF8
    text_ids: Sequence[str] = ()
    """Columns whose values are texts that numbers stand for."""

    def fingerprint(self, log: str, day: date | None) -> dict[str, Any]:
        """See Source. No file is an error for clicks and plays too: an outage is not "no clicks"."""
        folder, what = _folder(log, day), f"{log} of {day}" if day else log
        try:
            entries = storage.entries(storage.join(self.root, folder))
        except NotADirectoryError as err:
            raise DataError(f"{what}: {err}; put the files of this log into a folder of that name") from None
        except OSError as err:
            raise DataError(f"{what}: {err.filename or folder} cannot be read ({err.strerror or err})") from None
        for name, entry in entries.items():
            _check_entry(name, entry, f"{what}, {storage.join(self.root, folder, name)!r}")
        if not entries:
            raise DataError(self._missing(log, day))
        return {f"{folder}/{name}": [entry.size, entry.changed] for name, entry in entries.items()}

    def columns(self, log: str, day: date | None) -> list[str]:
        """See Source."""
        what = f"{log} of {day}" if day else log
        uris = self._uris(log, day)
        extension = _extension(uris, what)
        if extension == "parquet":
            names: Sequence[str] = parquet_columns(uris[0], what)
        elif extension == "csv":
            names = csv_header(uris[0], what, self.encoding)
        else:
            return json_keys(uris[0], self.encoding)
        return self._schema(log).take(names, f"{what}, {uris[0]}")

    def left_out(self, log: str) -> list[str]:
        """See Source: what is no day's folder."""
        folder = storage.join(self.root, log)
        if log in PROFILES:
            return []
        return [
            storage.join(folder, name)
            for name, entry in storage.entries(folder).items()
            if entry.kind != "folder" or not _is_day(name)
        ]

    def read(self, spark: SparkSession, log: str, days: Sequence[date]) -> DataFrame:
        """See Source."""
        if not days:
            return self._read_folder(spark, log, None)
        return stack({f"{log} of {day}": self._read_folder(spark, log, day) for day in days})

    def close(self) -> None:
        """Nothing is kept."""

    def _read_folder(self, spark: SparkSession, log: str, day: date | None) -> DataFrame:
        what = f"{log} of {day}" if day else log
        uris = self._uris(log, day)
        extension = _extension(uris, what)
        if extension == "parquet":
            rows = read_parquet(spark, uris, self._schema(log), what)
        else:
            rows = read_text(spark, extension, uris, self._schema(log), what, log in PROFILES, self.encoding)
        hidden = {USER_ID} if self.pseudonyms.key else set()  # a pseudonym is a number already
        rows = with_numbers_of_texts(self.pseudonyms.hide(rows), [name for name in self.text_ids if name not in hidden])
        return rows.withColumn("day", F.lit(day)) if day else rows

    def _schema(self, log: str) -> LogSchema:
        return SCHEMAS[log].with_texts(self.text_ids)

    def _uris(self, log: str, day: date | None) -> list[str]:
        return [storage.join(self.root, name) for name in self.fingerprint(log, day)]

    def _missing(self, log: str, day: date | None) -> str:
        folder = storage.join(self.root, _folder(log, day))
        if storage.exists(folder):
            return f"{log}{f' of {day}' if day else ''}: no file in {folder}; were these logs delivered?"
        if not storage.exists(self.root):
            return f"no logs at {self.root}; run `ncs generate` for synthetic ones, or correct logs.source"
        if day is None:
            return f"{log}: no folder {folder}; see README.md for the folders of raw logs"
        days = [name.removeprefix("day=") for name in storage.folders(storage.join(self.root, log))]
        there = f"the days there run from {days[0]} to {days[-1]}" if days else f"there is no day of {log} at all"
        return f"{log} of {day}: no folder {folder}; {there}. Deliver the day, or leave it out with --days"


def _folder(log: str, day: date | None) -> str:
    return f"{log}/day={day}" if day else log


def _is_day(name: str) -> bool:
    try:
        return name == f"day={date.fromisoformat(name.removeprefix('day='))}"
    except ValueError:
        return False


def _check_entry(name: str, entry: Entry, where: str) -> None:
    """Raise DataError, which begins with `where`, for what is no file that can be read."""
    if entry.kind == "folder":
        raise DataError(f"{where}: is a folder; the files of a log lie directly in its own, move or remove it")
    if entry.kind == "other":
        raise DataError(f"{where}: is no regular file but a pipe, a device or a link to nothing; remove it")
    if ":" in name or not name.isprintable():  # Hadoop's paths take what is before a colon for a scheme
        raise DataError(f"{where}: Spark reads no file with a colon or a control character in its name; rename it")


def _extension(uris: list[str], what: str) -> str:
    extensions = {}
    for uri in uris:
        match = _EXTENSION.search(uri)
        if not match:
            raise DataError(f"{what}, {uri}: no name of .parquet, .csv, .json or .jsonl (.gz); rename or remove it")
        extensions[match[1] or match[2].removesuffix("l")] = uri
    if len(extensions) > 1:
        raise DataError(f"{what}: files of several kinds, {' and '.join(extensions.values())}; leave one kind")
    return extensions.popitem()[0]
