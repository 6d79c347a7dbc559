"""Which rows are validation rows by their id's hash or by the hour; whole days are the reader's to choose."""

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from pyspark.sql import Column
from pyspark.sql import functions as F

from ncs.config import Config, Split


class LateRows(NamedTuple):
    """The validation rows of a split by hours: those of the last training day from a moment on."""

    day: date
    since: datetime


def late_rows(conf: Config) -> LateRows | None:
    """The validation rows of the configuration's split, if it is one by hours."""
    if not conf.split.hours:
        return None
    day = conf.train_days.last
    midnight = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(conf.logs.timezone))
    return LateRows(day, midnight.astimezone(UTC) - timedelta(hours=conf.split.hours))


def is_validation(split: Split, late: LateRows | None) -> Column:
    """Whether a row of silver/samples is a validation row, whatever its day is for."""
    drawn = F.pmod(F.xxhash64("impression_id", F.lit("split")), F.lit(1_000_000)) / 1_000_000 < split.share
    return drawn if late is None else drawn | (F.col("day") == late.day) & (F.col("ts") >= F.lit(late.since))
