"""The label join: impressions, clicks and plays of a day become labelled samples (paper sections 1 and 3.1).

Every raw row gets exactly one outcome: `kept`, `duplicate`, or the reason for which it is quarantined. The account
of a day follows from the outcomes and is held against the rows that are written.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from ncs.config import Labels
from ncs.errors import DataError

KEPT, DUPLICATE = "kept", "duplicate"

SAMPLE_COLUMNS = ("impression_id", "user_id", "video_id", "ts", "day")
LABEL_COLUMNS = ("length_seconds", "clicked", "watched_seconds", "cvr")


@dataclass(frozen=True)
class Logs:
    """Bronze rows around a day: impressions of the day and the days before it that its events may belong to,
    clicks and plays of the day and the days after it that its window reaches into."""

    impressions: DataFrame
    clicks: DataFrame
    plays: DataFrame
    users: DataFrame
    videos: DataFrame


@dataclass(frozen=True)
class Labelled:
    """A labelled day: each log's rows with their `outcome`, and the samples made of the kept ones."""

    outcomes: Mapping[str, DataFrame]
    samples: DataFrame

    def quarantine(self) -> DataFrame:
        """The rows set aside: `log, day, reason, impression_id, row` (the raw row as JSON)."""
        parts = [
            rows.where(~F.col("outcome").isin(KEPT, DUPLICATE)).select(
                F.lit(log).alias("log"),
                "day",
                F.col("outcome").alias("reason"),
                "impression_id",
                F.to_json(F.struct(*[name for name in rows.columns if name not in ("outcome", "day")])).alias("row"),
            )
            for log, rows in self.outcomes.items()
        ]
        whole = parts[0]
        for part in parts[1:]:
            whole = whole.unionByName(part)
        return whole


def label_day(logs: Logs, day: date, labels: Labels, timezone: str) -> Labelled:
    """Label the impressions of `day`, and account for the rows of its folders.

    Clicked: a click within the window after the impression. Watched: the sum of its play segments within the
    window, in seconds. CVR: min(watched / length, 1) where clicked and the length is positive, else null.
    """
    impressions = impression_outcomes(logs.impressions, timezone)
    kept = impressions.where(F.col("outcome") == KEPT)
    shown = kept.select("impression_id", F.col("ts").alias("shown_at"), F.col("day").alias("shown_on"))
    clicks = event_outcomes(logs.clicks, shown, labels, timezone)
    plays = event_outcomes(logs.plays, shown, labels, timezone)

    events = _of_day(clicks, day).unionByName(_of_day(plays, day), allowMissingColumns=True)
    events = events.groupBy("impression_id").agg(
        F.max(F.col("clicked")).alias("clicked"), F.sum("watched_seconds").alias("watched_seconds")
    )
    samples = _with_labels(_with_profiles(kept.where(F.col("day") == day), logs).join(events, "impression_id", "left"))
    folder = F.col("day") == day
    extra = ("shown_on", "clicked")
    return Labelled(
        {
            "impressions": impressions.where(folder),
            "clicks": clicks.where(folder).drop(*extra),
            "plays": plays.where(folder).drop(*extra),
        },
        samples,
    )


def impression_outcomes(impressions: DataFrame, timezone: str) -> DataFrame:
    """Add `outcome`: null_key, wrong_day (not the folder's day), duplicate (the earliest row is kept), or kept."""
    keys = ("impression_id", "user_id", "video_id", "ts")
    broken = _first_of(null_key=_any_null(*keys), wrong_day=_local_day(timezone) != F.col("day"))
    # Equal times are parted by the rest of the row, so that the choice does not depend on the order of reading.
    rest = [name for name in sorted(impressions.columns) if name not in ("ts", "impression_id")]
    earliest = Window.partitionBy("impression_id", "broken").orderBy("ts", *rest)
    return (
        impressions.withColumn("broken", broken)
        .withColumn("nth", F.row_number().over(earliest))
        .withColumn("outcome", F.coalesce("broken", F.when(F.col("nth") > 1, DUPLICATE), F.lit(KEPT)))
        .drop("broken", "nth")
    )


def event_outcomes(events: DataFrame, shown: DataFrame, labels: Labels, timezone: str) -> DataFrame:
    """Add `outcome` and `shown_on` (day of the impression) to clicks or plays.

    Reasons: null_key, wrong_day, bad_watch (null, negative, NaN or infinite seconds), no_impression,
    before_impression, after_window. A row that repeats another in every value is a duplicate: a segment logged twice.
    """
    watched = F.col("watched_seconds") if "watched_seconds" in events.columns else None
    raw = events.columns
    same = Window.partitionBy("impression_id", *[name for name in raw if name != "impression_id"]).orderBy(F.lit(0))
    # Delays are taken in microseconds: a watch's second fraction decides at the edge of the window.
    delay = F.unix_micros("ts") - F.unix_micros("shown_at")
    outcome = _first_of(
        null_key=_any_null("impression_id", "ts"),
        wrong_day=_local_day(timezone) != F.col("day"),
        bad_watch=F.lit(False) if watched is None else ~_finite(watched) | (watched < 0),
        no_impression=F.col("shown_at").isNull(),
        before_impression=delay < 0,
        after_window=delay > int(labels.window_hours * 3600e6),
        duplicate=F.col("nth") > 1,
    )
    joined = events.withColumn("nth", F.row_number().over(same)).join(shown, "impression_id", "left")
    return joined.select(
        *raw,
        "shown_on",
        (F.lit(1) if watched is None else F.lit(None)).cast("int").alias("clicked"),
        F.coalesce(outcome, F.lit(KEPT)).alias("outcome"),
    )


def _of_day(events: DataFrame, day: date) -> DataFrame:
    columns = [name for name in ("impression_id", "clicked", "watched_seconds") if name in events.columns]
    return events.where((F.col("outcome") == KEPT) & (F.col("shown_on") == day)).select(*columns)


def _with_profiles(impressions: DataFrame, logs: Logs) -> DataFrame:
    own_length = "length_seconds" in impressions.columns  # known per impression: wins over the video's row
    videos = logs.videos.drop("length_seconds") if own_length else logs.videos
    taken = set(impressions.columns)
    for name, profile, key in (("users", logs.users, "user_id"), ("videos", videos, "video_id")):
        twice = (taken & set(profile.columns)) - {key}
        if twice:
            raise DataError(
                f"bronze/{name}: column {sorted(twice)[0]!r} stands in another log too; rename it in one of them"
            )
        taken |= set(profile.columns)
    rows = impressions.drop("outcome").join(logs.users, "user_id", "left").join(videos, "video_id", "left")
    return rows if "length_seconds" in rows.columns else rows.withColumn("length_seconds", F.lit(None).cast("double"))


def _with_labels(rows: DataFrame) -> DataFrame:
    share = F.least(F.col("watched_seconds") / F.col("length_seconds"), F.lit(1.0))
    usable = (F.col("clicked") == 1) & (F.col("length_seconds") > 0) & _finite(F.col("length_seconds"))
    rows = rows.withColumns(
        {
            "clicked": F.coalesce("clicked", F.lit(0)),
            "watched_seconds": F.coalesce("watched_seconds", F.lit(0.0)),
        }
    ).withColumn("cvr", F.when(usable, share))
    named = {*SAMPLE_COLUMNS, *LABEL_COLUMNS}
    return rows.select(*SAMPLE_COLUMNS, *[name for name in rows.columns if name not in named], *LABEL_COLUMNS)


def _first_of(**conditions: Column) -> Column:
    """The name of the first condition that holds, else null."""
    return F.coalesce(*[F.when(condition, name) for name, condition in conditions.items()])


def _any_null(*names: str) -> Column:
    condition = F.col(names[0]).isNull()
    for name in names[1:]:
        condition = condition | F.col(name).isNull()
    return condition


def _finite(column: Column) -> Column:
    return column.isNotNull() & ~F.isnan(column) & (F.abs(column) != float("inf"))


def _local_day(timezone: str) -> Column:
    return F.to_date(F.from_utc_timestamp("ts", timezone))
