"""Landing folders: `<source>/<log>/day=YYYY-MM-DD/` for the day logs, `<source>/users`, `<source>/videos`.

Files are Parquet, CSV with a header, or JSON lines, told by their names (.parquet, .csv, .json, .jsonl; the
latter three also .gz), one kind a folder. Names that start with `_` or `.` are passed over. Times in text are
ISO, and UTC where they say no zone. Context columns of CSV and JSON are strings; columns of users and videos
are numbers where all their values are. Parquet is checked by its footers, text by a pass over the rows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncs.errors import DataError
from ncs.lake import storage
from ncs.logs.files import read_parquet
from ncs.logs.pseudonyms import Pseudonyms
from ncs.logs.schemas import PROFILES, SCHEMAS, stack
from ncs.logs.text import read_text

_EXTENSION = re.compile(r"\.(?:(parquet)|(csv|json|jsonl)(?:\.gz)?)$")


@dataclass(frozen=True)
class Landing:
    """Logs in folders below `root`, a path or URI."""

    root: str
    pseudonyms: Pseudonyms = field(default_factory=Pseudonyms)

    def fingerprint(self, log: str, day: date | None) -> dict[str, Any]:
        """See Source. No file is an error for clicks and plays too: an outage is not "no clicks"."""
        folder = _folder(log, day)
        found = storage.files(storage.join(self.root, folder))
        if not found:
            raise DataError(self._missing(log, day))
        return {f"{folder}/{name}": list(stat) for name, stat in found.items()}

    def read(self, spark: SparkSession, log: str, days: Sequence[date]) -> DataFrame:
        """See Source."""
        if not days:
            return self._read_folder(spark, log, None)
        return stack({f"{log} of {day}": self._read_folder(spark, log, day) for day in days})

    def close(self) -> None:
        """Nothing is kept."""

    def _read_folder(self, spark: SparkSession, log: str, day: date | None) -> DataFrame:
        what = f"{log} of {day}" if day else log
        uris = [storage.join(self.root, name) for name in self.fingerprint(log, day)]
        extension = _extension(uris, what)
        if extension == "parquet":
            rows = read_parquet(spark, uris, SCHEMAS[log], what)
        else:
            rows = read_text(spark, extension, uris, SCHEMAS[log], what, numbers=log in PROFILES)
        rows = self.pseudonyms.hide(rows)
        return rows.withColumn("day", F.lit(day)) if day else rows

    def _missing(self, log: str, day: date | None) -> str:
        folder = storage.join(self.root, _folder(log, day))
        if storage.exists(folder):
            return f"{log}{f' of {day}' if day else ''}: no file in {folder}; were these logs delivered?"
        if not storage.exists(self.root):
            return f"no logs at {self.root}; run `ncs generate` for synthetic ones, or mend logs.source"
        if day is None:
            return f"{log}: no folder {folder}; see README.md for the folders of raw logs"
        days = [name.removeprefix("day=") for name in storage.folders(storage.join(self.root, log))]
        there = f"the days there run from {days[0]} to {days[-1]}" if days else f"there is no day of {log} at all"
        return f"{log} of {day}: no folder {folder}; {there}. Deliver the day, or leave it out with --days"


def _folder(log: str, day: date | None) -> str:
    return f"{log}/day={day}" if day else log


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
