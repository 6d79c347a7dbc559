"""A day's profile: what is missing, how values are spread, which ids come; a few kB in the record of its commit.

Later days are held against it by the gate, which then reads no row of the days before.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncs.labels.join import LABEL_COLUMNS, SAMPLE_COLUMNS

IDS = ("user_id", "video_id")
_BUCKETS = 16
_ROWS = 10_000
"""Rows of a day that shares are taken from: their standard error is at most half a percent."""
_IDS = 500
"""Rows' worth of ids that are remembered: those with the smallest hashes, all of them, so that days compare."""
_RANGE = 1 << 32
_NUMBERS = ("int", "bigint", "smallint", "tinyint", "float", "double")


def profile_days(samples: DataFrame, rows: Mapping[date, int]) -> dict[date, dict[str, Any]]:
    """Profile the context, user and video columns of labelled days, in one pass.

    Args:
        samples: the labelled days.
        rows: how many rows each day has.

    Returns:
        A day's profile as plain data: `nulls` (column -> share), `spread` (column -> bucket -> rows), `ids`
        (column -> `below`: the hashes that are remembered, `seen`: those that came).
    """
    named = {*SAMPLE_COLUMNS, *LABEL_COLUMNS} - {"length_seconds"}
    columns = {name: kind for name, kind in samples.dtypes if name not in named}
    sampled = _hash("impression_id") < _below(rows, _ROWS)
    below = _below(rows, _IDS)
    parts = [
        F.when(sampled, F.struct(F.lit(name).alias("column"), _bucket(name, kind).alias("value")))
        for name, kind in columns.items()
    ]
    parts += [
        F.when(_hash(name) < below, F.struct(F.lit(name).alias("column"), _hash(name).alias("value"))) for name in IDS
    ]
    counts = (
        samples.where(reduce(Column.__or__, [sampled, *[_hash(name) < below for name in IDS]]))
        .select("day", F.explode(F.array(*parts)).alias("part"))
        .where(F.col("part").isNotNull())
        .groupBy("day", "part.column", "part.value")
        .count()
    )
    found: dict[date, dict[str, dict[int | None, int]]] = {day: {} for day in rows}
    for day, column, value, count in counts.collect():
        found[day].setdefault(column, {})[value] = count
    return {day: _profile(columns, rows[day], counted) for day, counted in found.items()}


def _profile(columns: Iterable[str], rows: int, counted: Mapping[str, dict[int | None, int]]) -> dict[str, Any]:
    there = {name: counted[name] for name in columns if name in counted}
    return {
        "nulls": {name: counts.get(None, 0) / sum(counts.values()) for name, counts in there.items()},
        "spread": {
            name: {str(value): count for value, count in sorted(counts.items(), key=str) if value is not None}
            for name, counts in there.items()
        },
        "ids": {
            name: {
                "below": _limit(rows, _IDS),
                "seen": sorted(value for value in counted.get(name, {}) if value is not None),
            }
            for name in IDS
        },
    }


def _bucket(name: str, kind: str) -> Column:
    """One of 16 parts of a column's values: numbers by magnitude, other values by hash; null where there is none."""
    value = F.col(name)
    if kind not in _NUMBERS:
        return F.when(value.isNotNull(), F.pmod(F.xxhash64(value.cast("string")), F.lit(_BUCKETS)))
    number = value.cast("double")
    magnitude = F.floor(F.log2(F.abs(number) + 1)).cast("bigint")
    return F.when(number.isNotNull() & ~F.isnan(number), F.least(magnitude, F.lit(_BUCKETS - 1)))


def _hash(name: str) -> Column:
    return F.pmod(F.xxhash64(name), F.lit(_RANGE))


def _limit(rows: int, wanted: int) -> int:
    """Hashes below it are taken, so that of so many rows about `wanted` are."""
    return min(_RANGE, _RANGE * wanted // max(rows, 1))


def _below(rows: Mapping[date, int], wanted: int) -> Column:
    pairs = [F.lit(part) for day, count in rows.items() for part in (day, _limit(count, wanted))]
    return F.create_map(*pairs)[F.col("day")]
