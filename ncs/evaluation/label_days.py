"""Statistics of a run's labelled samples: by day, and overall."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

BINS = 20


@dataclass(frozen=True)
class LabelDays:
    """Labels by day; by day, how many CVR labels fall into each of `BINS` bins of [0, 1]; distinct users and videos."""

    days: Sequence[Mapping[str, Any]]
    histograms: Mapping[str, Sequence[int]]
    users: int | None = None
    videos: int | None = None

    @property
    def impressions(self) -> int:
        """On all days together."""
        return sum(day["impressions"] for day in self.days)


def label_days(samples: DataFrame) -> LabelDays:
    """Statistics of the samples' labels, in one pass; users and videos where there are such columns."""
    bins = F.least(F.floor(F.col("cvr") * BINS), F.lit(BINS - 1))
    labelled = F.when(F.col("cvr").isNotNull(), bins)  # least() passes over nulls
    counts = samples.groupBy("day", labelled.alias("bin")).agg(
        F.count("*").alias("rows"),
        F.sum("clicked").alias("clicks"),
        F.count("cvr").alias("labelled"),
        F.sum("cvr").alias("watched"),
    )
    days, histograms = [], {}
    rows = sorted(counts.collect(), key=lambda row: row.day)
    for day, parts in ((day, list(group)) for day, group in groupby(rows, key=lambda row: row.day)):
        impressions, clicks, labelled = (sum(row[name] for row in parts) for name in ("rows", "clicks", "labelled"))
        days.append(
            {
                "day": day,
                "impressions": impressions,
                "clicks": clicks,
                "click_rate": clicks / impressions,
                "labelled": labelled,
                "mean_cvr": sum(row.watched or 0.0 for row in parts) / labelled if labelled else None,
            }
        )
        in_bin = {row.bin: row.rows for row in parts}
        histograms[str(day)] = [in_bin.get(n, 0) for n in range(BINS)]
    return LabelDays(days, histograms, **_distinct(samples))


def _distinct(samples: DataFrame) -> dict[str, int]:
    keys = {"users": "user_id", "videos": "video_id"}
    there = {name: column for name, column in keys.items() if column in samples.columns}
    if not there:
        return {}
    (row,) = samples.agg(*(F.count_distinct(column).alias(name) for name, column in there.items())).collect()
    return {name: int(row[name]) for name in there}
