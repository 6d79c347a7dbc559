"""KuaiRand (Gao et al., CIKM 2022): the official files of Pure, 1K and 27K as impressions, clicks and plays.

A row of a standard log is an impression, called by user, video and time; with `is_click` a click, with a
`play_time_ms` a play, both at the time of the impression. Its length is the row's `duration_ms`. Times are
`time_ms`, and a row belongs to its day in `logs.timezone` (the files' own `date` and `hourmin` do not always
agree with that). Files may be compressed with gzip (`.csv.gz`).

Left out: the random logs (`log_random_*`), which no loader has shown and `exposed` alone reads; the log's other columns
but `tab`, for they say what the user did, which no model can know beforehand; and the statistic features
(`video_features_statistic_*`), which average over the very days that labels are taken from, and so leak the
future.
"""

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import LongType

from ncs.encodings import UTF8
from ncs.errors import DataError
from ncs.lake import storage
from ncs.logs.pseudonyms import Pseudonyms
from ncs.logs.schemas import DAY_LOGS, SCHEMAS, LogSchema
from ncs.logs.text import BAD, cast_columns, check_bad, csv_header, read_csv, read_text, text_columns

_END = r"_(?P<size>[a-z0-9]+)(?:_part\d+)?\.csv(?:\.gz)?"
_STANDARD = re.compile(r"log_standard(?:_\d+){2}_to(?:_\d+){2}" + _END), "log_standard_4_08_to_4_21_27k_part1.csv"
_FILES = {
    **dict.fromkeys(DAY_LOGS, _STANDARD),
    "users": (re.compile("user_features" + _END), "user_features_27k.csv"),
    "random": (re.compile(r"log_random(?:_\d+){2}_to(?:_\d+){2}" + _END), "log_random_4_22_to_5_08_27k.csv"),
    "videos": (re.compile("video_features_basic" + _END), "video_features_basic_27k.csv"),
}
"""For each log the name of its files, and an example."""

_NEEDED = ("user_id", "video_id", "time_ms", "is_click", "play_time_ms", "duration_ms")
_LOG = LogSchema(dict.fromkeys(_NEEDED, LongType()), {"tab": LongType()})


class KuaiRand:
    """KuaiRand's files below a folder. Its logs are parsed once for all days, and kept by Spark."""

    def __init__(self, root: str, timezone: str, pseudonyms: Pseudonyms, encoding: str = UTF8) -> None:
        self.root = root
        self.encoding = encoding
        self.timezone = timezone
        self.pseudonyms = pseudonyms
        self._parsed: DataFrame | None = None

    def fingerprint(self, log: str, day: date | None) -> dict[str, Any]:
        """See Source. Any day's rows may stand in any file of the logs, so all of these decide."""
        pattern, example = _FILES[log]
        fingerprint: dict[str, Any] = {}
        sizes = {}
        for name, stat in storage.files(self.root).items():
            match = pattern.fullmatch(name.rpartition("/")[2])
            if match:
                fingerprint[name] = list(stat)
                sizes[match["size"]] = name
        if not fingerprint:
            there = "no such folder" if not storage.exists(self.root) else f"no file called like {example}"
            raise DataError(f"KuaiRand's {log} in {self.root}: {there} (or _1k, _pure); correct logs.source")
        twice = [name for name in fingerprint if f"{name}.gz" in fingerprint]
        if twice:
            raise DataError(f"{self.root} holds {twice[0]} twice, with .gz and without; remove one of them")
        if len(sizes) > 1:
            files = " and ".join(sizes.values())
            raise DataError(f"{self.root} holds KuaiRand in several sizes, {files}; let logs.source name one's folder")
        return fingerprint

    def read(self, spark: SparkSession, log: str, days: Sequence[date]) -> DataFrame:
        """See Source."""
        if not days:
            rows = read_text(spark, "csv", self._uris(log), SCHEMAS[log], f"KuaiRand's {log}", True, self.encoding)
            return self.pseudonyms.hide(rows)
        rows = self._log(spark).where(F.col("day").isin(*days))
        if log == "impressions":
            length = (F.col("duration_ms") / 1000).alias("length_seconds")
            return rows.select(_impression_id(), "user_id", "video_id", "ts", *_tab(rows), length, "day")
        # An impression logged twice was clicked once and watched once: as its longest row says.
        events = rows.groupBy("user_id", "video_id", "time_ms", "ts", "day").agg(
            F.max(F.struct("play_time_ms", "is_click")).alias("row")
        )
        if log == "clicks":
            return events.where("row.is_click > 0").select(_impression_id(), "ts", "day")
        watched = (F.col("row.play_time_ms") / 1000).alias("watched_seconds")
        return events.where("row.play_time_ms != 0").select(_impression_id(), "ts", watched, "day")

    def exposed(self, spark: SparkSession) -> DataFrame:
        """The random log, whose videos chance chose: `user_id, video_id, ts, tab, length_seconds, watched_seconds`.

        Raises DataError if there is none, or one with values that are no numbers.
        """
        what = "KuaiRand's random log"
        rows = self._parse(spark, "random", what)
        check_bad(rows, _LOG, what, self.encoding)
        length, watched = (F.col(f"{name}_ms") / 1000 for name in ("duration", "play_time"))
        own = [length.alias("length_seconds"), watched.alias("watched_seconds")]
        return rows.select("user_id", "video_id", "ts", *_tab(rows), *own)

    def columns(self, log: str, day: date | None) -> list[str]:
        """See Source."""
        what, uri = f"KuaiRand's {log}", self._uris(log)[0]
        if day is None:
            return SCHEMAS[log].take(csv_header(uri, what, self.encoding), f"{what}, {uri}")
        return [*SCHEMAS[log].types, *_LOG.optional]

    def left_out(self, log: str) -> list[str]:
        """See Source. Its folder holds other files than those that are read."""
        return []

    def close(self) -> None:
        """Let Spark forget the parsed logs."""
        if self._parsed is not None:
            self._parsed.unpersist()
            self._parsed = None

    def _uris(self, log: str) -> list[str]:
        return [storage.join(self.root, name) for name in self.fingerprint(log, None)]

    def _log(self, spark: SparkSession) -> DataFrame:
        if self._parsed is None:
            what = "KuaiRand's standard log"
            rows = self._parse(spark, "impressions", what)
            self._parsed = rows.withColumn("day", F.to_date(F.from_utc_timestamp("ts", self.timezone))).persist()
            try:
                check_bad(self._parsed, _LOG, what, self.encoding)
            except DataError:  # or Spark would find these rows again when the file has been corrected
                self.close()
                raise
        return self._parsed

    def _parse(self, spark: SparkSession, log: str, what: str) -> DataFrame:
        uris = self._uris(log)
        texts = read_csv(spark, uris, what, self.encoding)
        names = _LOG.take(text_columns(texts), f"{what}, {uris[0]}")
        # A row without a time would be of no day, and lost in silence.
        rows = cast_columns(texts, _LOG.types, filled=_NEEDED).select(*names, BAD)
        rows = self.pseudonyms.hide(rows)  # before impressions are named after users
        return rows.withColumn("ts", F.timestamp_millis("time_ms"))


def _impression_id() -> Any:
    return F.concat_ws("-", "user_id", "video_id", "time_ms").alias("impression_id")


def _tab(rows: DataFrame) -> list[str]:
    return [name for name in _LOG.optional if name in rows.columns]
