"""The label join: impressions, clicks and plays of some days become labelled samples (paper sections 1 and 3.1).

Every raw row gets exactly one outcome: `kept`, `duplicate`, or the reason for which it is quarantined. A day is
reconciled from the outcomes: rows in = kept + duplicates + quarantined.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from ncs.config import Labels
from ncs.days import Days
from ncs.errors import DataError

KEPT, DUPLICATE = "kept", "duplicate"
# Helping columns; no raw column can have such a name.
BROKEN, NTH, LOG = "#broken", "#nth", "#log"
SHOWN_ID, SHOWN_AT, SHOWN_ON = "#shown_id", "#shown_at", "#shown_on"
EVENT_COLUMNS = ("impression_id", "ts", "day")
"""What clicks and plays have in common."""

SAMPLE_COLUMNS = ("impression_id", "user_id", "video_id", "ts", "day")
LABEL_COLUMNS = ("length_seconds", "clicked", "watched_seconds", "cvr")


@dataclass(frozen=True)
class Logs:
    """Bronze rows around some days: impressions from twice the window's days before them (an event may belong to
    the day before, whose impression may repeat one of the day before that), clicks and plays to the window's days
    after them."""

    impressions: DataFrame
    clicks: DataFrame
    plays: DataFrame
    users: DataFrame
    videos: DataFrame


@dataclass(frozen=True)
class Labelled:
    """Labelled days: each log's rows with their `outcome`, and the samples made of the kept ones.

    All of them come from `cached`, frames that are kept from their first use until `release`.
    """

    outcomes: Mapping[str, DataFrame]
    samples: DataFrame
    cached: Sequence[DataFrame]

    def release(self) -> None:
        """Let go of what is cached; the rows can still be computed, anew."""
        for frame in self.cached:
            frame.unpersist()

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
        return reduce(DataFrame.unionByName, parts)


def label_days(logs: Logs, days: Days, labels: Labels, timezone: str) -> Labelled:
    """Label the impressions of `days`, and reconciled for the rows of their folders.

    Clicked: a click within the window after the impression. Watched: the sum of its play segments within the
    window, in seconds. CVR: min(watched / length, 1) where clicked and the length is positive, else null. What a
    day's rows become does not depend on which days are labelled beside it.
    """
    on_days = F.col("day").between(days.first, days.last)
    # Dealt out by impression once: the windows and sums that follow need no further exchange.
    impressions = impression_outcomes(logs.impressions.repartition("impression_id"), labels, timezone).persist()
    kept = impressions.where(F.col("outcome") == KEPT)
    shown = kept.select(
        F.col("impression_id").alias(SHOWN_ID), F.col("ts").alias(SHOWN_AT), F.col("day").alias(SHOWN_ON)
    )
    logged = {"clicks": logs.clicks, "plays": logs.plays}
    events = event_outcomes(_together(logged).repartition("impression_id"), shown, labels, timezone).persist()

    of_days = (F.col("outcome") == KEPT) & F.col(SHOWN_ON).between(days.first, days.last)
    clicked, watched = F.max(_of("clicks").cast("int")), F.sum(WATCHED)
    by_impression = events.where(of_days).groupBy("impression_id", SHOWN_ON)
    told = by_impression.agg(clicked.alias("clicked"), watched.alias("watched_seconds"))
    rows = _with_profiles(kept.where(on_days).withColumn(SHOWN_ON, F.col("day")), logs)
    samples = _with_labels(rows.join(told, ["impression_id", SHOWN_ON], "left").drop(SHOWN_ON)).persist()
    outcomes = {"impressions": impressions.where(on_days)}
    outcomes |= {log: _apart(events, log, rows.columns).where(on_days) for log, rows in logged.items()}
    return Labelled(outcomes, samples, cached=(impressions, events, samples))


def impression_outcomes(impressions: DataFrame, labels: Labels, timezone: str) -> DataFrame:
    """Add `outcome`: null_key, wrong_day (not the folder's day), duplicate, or kept.

    Of repeated impressions the earliest is kept. Beyond the days that a window reaches over, an id may come again.
    """
    keys = ("impression_id", "user_id", "video_id", "ts")
    broken = _first_of(null_key=_any_null(*keys), wrong_day=_local_day(timezone) != F.col("day"))
    # Equal times are parted by the rest of the row, so that the choice does not depend on the order of reading.
    rest = [name for name in sorted(impressions.columns) if name not in ("ts", "impression_id")]
    before = F.lag("day").over(Window.partitionBy("impression_id", BROKEN).orderBy("ts", *rest))
    repeated = F.date_diff("day", before) <= labels.days_after
    return (
        impressions.withColumn(BROKEN, broken)
        .withColumn("outcome", F.coalesce(BROKEN, F.when(repeated, DUPLICATE), F.lit(KEPT)))
        .drop(BROKEN)
    )


def event_outcomes(events: DataFrame, shown: DataFrame, labels: Labels, timezone: str) -> DataFrame:
    """Add `outcome`, and the day of the impression, to clicks and plays.

    Reasons: null_key, wrong_day, bad_watch (of plays: null, negative, NaN or infinite seconds), no_impression,
    before_impression, after_window. A row that repeats another in every value is a duplicate: a segment logged twice.
    """
    watched, raw = F.col(WATCHED), events.columns
    same = Window.partitionBy("impression_id", *[name for name in raw if name != "impression_id"])
    # Delays are taken in microseconds: a second's fraction decides at the edge of the window.
    delay = F.unix_micros("ts") - F.unix_micros(SHOWN_AT)
    outcome = _first_of(
        null_key=_any_null("impression_id", "ts"),
        wrong_day=_local_day(timezone) != F.col("day"),
        bad_watch=_of("plays") & (~_finite(watched) | (watched < 0)),
        no_impression=F.col(SHOWN_AT).isNull(),
        before_impression=delay < 0,
        after_window=delay > int(labels.window_hours * 3600e6),
        duplicate=F.col(NTH) > 1,
    )
    # Kept impressions of one id lie further apart than this, so that an event finds one at the most.
    reachable = F.date_diff("day", SHOWN_ON).between(0, labels.days_after)
    own = events.withColumn(NTH, F.row_number().over(same.orderBy(F.lit(0))))
    joined = own.join(shown, (F.col("impression_id") == F.col(SHOWN_ID)) & reachable, "left")
    return joined.select(*raw, SHOWN_ON, F.coalesce(outcome, F.lit(KEPT)).alias("outcome"))


def _together(logged: Mapping[str, DataFrame]) -> DataFrame:
    """The rows of several logs as one frame: `#log`, what they have in common, each one's own columns by its name."""
    parts = [
        rows.select(
            F.lit(log).alias(LOG),
            *EVENT_COLUMNS,
            *[F.col(name).alias(_own(log, name)) for name in rows.columns if name not in EVENT_COLUMNS],
        )
        for log, rows in logged.items()
    ]
    return reduce(partial(DataFrame.unionByName, allowMissingColumns=True), parts)


def _apart(events: DataFrame, log: str, columns: Sequence[str]) -> DataFrame:
    """The rows of one of the logs with the columns that it had, and their outcome."""
    names = {name: name if name in EVENT_COLUMNS else _own(log, name) for name in columns}
    own = [F.col(inner).alias(name) for name, inner in names.items()]
    return events.where(_of(log)).select(*own, "outcome")


def _own(log: str, name: str) -> str:
    """What a log's own column is called beside those of other logs, which may have other types."""
    return f"#{log}/{name}"


WATCHED = _own("plays", "watched_seconds")


def _of(log: str) -> Column:
    return F.col(LOG) == log


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
