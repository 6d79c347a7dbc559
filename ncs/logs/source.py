"""Sources of raw logs: one interface, one module per kind of source."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Protocol

from pyspark.sql import DataFrame, SparkSession

from ncs.config import Config
from ncs.lake import storage
from ncs.lake.layout import Lake
from ncs.logs.kuairand import KuaiRand
from ncs.logs.landing import Landing
from ncs.logs.pseudonyms import Pseudonyms


class Source(Protocol):
    """Logs of one origin. `log` is impressions, clicks or plays, with a day; or users or videos, without."""

    @property
    def pseudonyms(self) -> Pseudonyms:
        """The pseudonyms of user ids."""

    def fingerprint(self, log: str, day: date | None) -> dict[str, Any]:
        """The files that decide the rows, as plain JSON data: relative path -> [bytes, time of change].

        Raises DataError if there is none.
        """

    def read(self, spark: SparkSession, log: str, days: Sequence[date]) -> DataFrame:
        """The rows, typed as bronze (`ncs.logs.schemas`), each day's with that day in a column `day`.

        Users and videos know no days.

        Raises DataError naming the file, the column and the remedy if they cannot be read so.
        """

    def columns(self, log: str, day: date | None) -> Sequence[str]:
        """The names of a log's columns by the head of its first file, to compare logs before any is read.

        Raises DataError as `read` does for a name that cannot be used.
        """

    def left_out(self, log: str) -> Sequence[str]:
        """Paths below a log's folder that no day and no other log has, so that nobody reads them."""

    def close(self) -> None:
        """Let go of what reading keeps in memory for the next read."""


def open_source(conf: Config, lake: Lake) -> Source:
    """The source that `logs.adapter` and `logs.source` name; null: the lake's own landing folders."""
    pseudonyms = Pseudonyms.of(conf.privacy.key)
    if conf.logs.source is None:
        return Landing(lake.landing)
    root = storage.absolute(conf.logs.source)
    if conf.logs.adapter == "kuairand":
        return KuaiRand(root, conf.logs.timezone, pseudonyms, conf.logs.encoding)
    return Landing(root, pseudonyms, conf.logs.encoding, conf.logs.text_ids)
