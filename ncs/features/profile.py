"""A day's profile: what is missing, how values are distributed, which ids come; some kB in the record of its commit.

Later days are compared with it by the gate, which then reads no row of the days before.
"""

import sys
from collections.abc import Iterable, Mapping
from datetime import date
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ncs.kinds.spark import NUMBERS
from ncs.labels.join import LABEL_COLUMNS, SAMPLE_COLUMNS

IDS = ("user_id", "video_id")
_BUCKETS = 256
"""Of values that are no numbers, by hash."""
_QUANTILES = 100
"""Of numbers: so many steps from the least to the largest, enough to count by another day's deciles."""
_DIGITS = 9
"""Of a quantile; float32 has no more."""
_EXACT = 100_000
"""Accuracy of Spark's percentiles, in rows: more than a day's sample has, so that they are exact."""
_ROWS = 10_000
"""Rows of a day that shares are taken from: their standard error is at most half a percent."""
_IDS = 500
"""Rows' worth of ids that are remembered: those with the smallest hashes, all of them, so that days compare."""
_RANGE = 1 << 32


def profile_days(samples: DataFrame, rows: Mapping[date, int]) -> dict[date, dict[str, Any]]:
    """Profile the context, user and video columns of labelled days, in one pass.

    Args:
        samples: the labelled days.
        rows: how many rows each day has.

    Returns:
        A day's profile as plain data: `nulls` (column -> share, NaN included); of numbers `quantiles` (column ->
        `rows`, `values`: 101 from the least to the largest), of other values `histogram` (column -> bucket -> rows);
        `ids` (column -> `below`: the hashes that are remembered, `seen`: those that came).
    """
    named = {*SAMPLE_COLUMNS, *LABEL_COLUMNS} - {"length_seconds"}
    columns = {name: kind for name, kind in samples.dtypes if name not in named}
    sampled = _hash("impression_id") < _below(rows, _ROWS)
    below = _below(rows, _IDS)
    parts = [F.when(sampled, _part(name, _value(name, kind), _number(name, kind))) for name, kind in columns.items()]
    parts += [F.when(_hash(name) < below, _part(name, _hash(name))) for name in IDS]
    steps = [step / _QUANTILES for step in range(_QUANTILES + 1)]
    counts = (
        samples.where(reduce(Column.__or__, [sampled, *[_hash(name) < below for name in IDS]]))
        .select("day", F.explode(F.array(*parts)).alias("part"))
        .where(F.col("part").isNotNull())
        .groupBy("day", "part.column", "part.value")
        .agg(F.count("*").alias("rows"), F.percentile_approx("part.number", steps, _EXACT).alias("quantiles"))
    )
    by_value: dict[date, dict[str, dict[int | None, int]]] = {day: {} for day in rows}
    quantiles: dict[date, dict[str, dict[str, Any]]] = {day: {} for day in rows}
    for day, column, value, count, values in counts.collect():
        by_value[day].setdefault(column, {})[value] = count
        if values is not None:
            quantiles[day][column] = {"rows": count, "values": [_rounded(number) for number in values]}
    return {day: _profile(columns, rows[day], counted, quantiles[day]) for day, counted in by_value.items()}


def _profile(
    columns: Iterable[str],
    rows: int,
    counted: Mapping[str, dict[int | None, int]],
    quantiles: Mapping[str, dict[str, Any]],
) -> dict[str, Any]:
    there = {name: counted[name] for name in columns if name in counted}
    return {
        "nulls": {name: counts.get(None, 0) / sum(counts.values()) for name, counts in there.items()},
        "quantiles": dict(quantiles),
        "histogram": {
            name: {str(value): count for value, count in sorted(counts.items(), key=str) if value is not None}
            for name, counts in there.items()
            if name not in quantiles
        },
        "ids": {
            name: {
                "below": _limit(rows, _IDS),
                "seen": sorted(value for value in counted.get(name, {}) if value is not None),
            }
            for name in IDS
        },
    }


def _part(column: str, value: Column, number: Column | None = None) -> Column:
    """A row's value of a column: a bucket or a hash, null where there is none; of numbers, the number besides."""
    number = F.lit(None).cast("double") if number is None else number
    return F.struct(F.lit(column).alias("column"), value.cast("bigint").alias("value"), number.alias("number"))


def _value(name: str, kind: str) -> Column:
    """A bucket by hash, and one for all numbers."""
    number = _number(name, kind)
    if number is not None:
        return F.when(number.isNotNull(), F.lit(0))
    return F.when(F.col(name).isNotNull(), F.pmod(F.xxhash64(F.col(name).cast("string")), F.lit(_BUCKETS)))


def _number(name: str, kind: str) -> Column | None:
    """A numeric column as a double, null for NaN."""
    if kind.partition("(")[0] not in NUMBERS:
        return None
    number = F.col(name).cast("double")
    return F.when(~F.isnan(number), number)


def _rounded(value: float) -> float:
    """With so many digits; infinities are the largest numbers there are, for JSON has none."""
    return float(f"{min(max(value, -sys.float_info.max), sys.float_info.max):.{_DIGITS}g}") if value else 0.0


def _hash(name: str) -> Column:
    return F.pmod(F.xxhash64(name), F.lit(_RANGE))


def _limit(rows: int, wanted: int) -> int:
    """Hashes below it are taken, so that of so many rows about `wanted` are."""
    return min(_RANGE, _RANGE * wanted // max(rows, 1))


def _below(rows: Mapping[date, int], wanted: int) -> Column:
    pairs = [F.lit(part) for day, count in rows.items() for part in (day, _limit(count, wanted))]
    return F.create_map(*pairs)[F.col("day")]
