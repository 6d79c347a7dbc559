"""The label join: impressions, clicks and plays of some days become labelled samples (paper sections 1 and 3.1).

Every raw row gets exactly one outcome: `kept`, `duplicate`, or the reason for which it is quarantined. A day is
reconciled from the outcomes: rows in = kept + duplicates + quarantined.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial, reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from ncs.days import Days
from ncs.errors import DataError
from ncs.kinds.spark import finite
from ncs.labels.reach import EARLY_DAYS, Reach
from ncs.lake.columns import UPDATED_AT

KEPT, DUPLICATE, ID_CONFLICT = "kept", "duplicate", "id_conflict"
REASONS = {
    "null_key": "a key or the time is null; find out where the log loses it",
    "wrong_day": "the time is not of the folder's day; does logs.timezone name the zone whose midnight parts the "
    "folders, and are times without a zone UTC? labels.late_days and logs.folder_day say what may come late",
    ID_CONFLICT: "column impression_id: one id stands with different users or videos; give each impression, one user's "
    "view of one video, an id of its own (of a slate: its id and the video's), in clicks and plays too",
    "bad_watch": "column watched_seconds is null, negative, NaN or infinite; correct it where the log is written",
    "no_impression": "no impression with this impression_id stands on the days that the window reaches back to; were "
    "those days delivered?",
    "before_impression": "the time is before that of its impression; compare the clocks of the two logs",
    "after_window": "the time is after the end of its impression's window (labels.window_hours)",
}
"""Why a row is quarantined -> what that means, and what to do."""
# Helping columns; no raw column can have such a name. Days among them are numbers, counted from 1970.
BROKEN, NTH, LOG, OWN_DAY, PAIR = "#broken", "#nth", "#log", "#own_day", "#pair"
BEFORE, PAIR_BEFORE, REPEATED = "#before", "#pair_before", "#repeated"
SHOWN_ID, SHOWN_AT, SHOWN_ON, SHOWN_UNTIL, SHOWN_AS = "#shown_id", "#shown_at", "#shown_on", "#shown_until", "#shown_as"
EVENT_COLUMNS = ("impression_id", "ts", "day")
"""The columns that clicks and plays share."""

SAMPLE_COLUMNS = ("impression_id", "user_id", "video_id", "ts", "day")
LABEL_COLUMNS = ("length_seconds", "clicked", "watched_seconds", "cvr")


@dataclass(frozen=True)
class Logs:
    """Bronze rows around some days, of the folders that `Reach.folders` names; further rows change nothing."""

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
    """Log -> the rows of the days' folders."""
    samples: DataFrame
    cached: Sequence[DataFrame]
    dated: DataFrame | None = None
    """The own `day` of each kept impression of the days, where that need not be its folder's."""

    def release(self) -> None:
        """Let go of what is cached; the rows can still be computed, again."""
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


def label_days(logs: Logs, days: Days, reach: Reach) -> Labelled:
    """Label the impressions of `days`, and give each row of their folders its outcome.

    Clicked: a click within the window after the impression. Watched: the sum of its play segments within the
    window, in seconds. CVR: min(watched / length, 1) where clicked and the length is positive, else null. What a
    day's rows become does not depend on which days are labelled beside it.
    """
    in_folders = F.col("day").between(days.first, days.last)
    # Repartitioned by impression once: the windows and sums that follow need no further exchange.
    impressions = impression_outcomes(logs.impressions.repartition("impression_id"), reach).persist()
    logged = {"clicks": logs.clicks, "plays": logs.plays}
    events = _together(logged).repartition("impression_id")
    events = event_outcomes(events, _shown(impressions, reach), reach).persist()

    of_days = (F.col("outcome") == KEPT) & F.col(SHOWN_ON).between(_number(days.first), _number(days.last))
    clicked, watched = F.max(_of("clicks").cast("int")), F.sum(WATCHED)
    by_impression = events.where(of_days).groupBy("impression_id", SHOWN_ON)
    responses = by_impression.agg(clicked.alias("clicked"), watched.alias("watched_seconds"))
    kept = impressions.withColumnRenamed(OWN_DAY, SHOWN_ON).where(of_days).drop(REPEATED, "outcome")
    if reach.redated:
        kept = kept.withColumn("day", F.date_from_unix_date(SHOWN_ON))
    rows = _with_profiles(kept, logs)
    samples = _with_labels(rows.join(responses, ["impression_id", SHOWN_ON], "left").drop(SHOWN_ON)).persist()
    outcomes = {"impressions": impressions.where(in_folders).drop(OWN_DAY, REPEATED)}
    outcomes |= {log: _apart(events, log, rows.columns).where(in_folders) for log, rows in logged.items()}
    return Labelled(outcomes, samples, (impressions, events, samples), kept.select("day") if reach.redated else None)


def impression_outcomes(impressions: DataFrame, reach: Reach) -> DataFrame:
    """Add `outcome`, the row's own day, and whether a row of the same id stands before it within the window's days.

    Reasons: null_key; wrong_day (its own day is not the folder's, or not so near as `reach` allows); id_conflict
    (rows of its id, of days that a window reaches over, name different users or videos: nobody can tell whose the
    events are, so none of them is kept). A repetition with the same user and video is a duplicate; the earliest row
    is kept. Beyond the days that a window reaches over, an id may come again.
    """
    keys, raw = ("impression_id", "user_id", "video_id", "ts"), impressions.columns
    late = F.unix_date("day") - F.col(OWN_DAY)
    wrong_day = ~late.between(-EARLY_DAYS, reach.late_days) if reach.redated else late != 0
    rows = impressions.withColumns({OWN_DAY: _local_day(reach), PAIR: F.xxhash64("user_id", "video_id")})
    rows = rows.withColumn(BROKEN, _first_of(null_key=_any_null(*keys), wrong_day=wrong_day))
    # The rest of the row breaks ties of equal times, so that the choice does not depend on the order of reading.
    rest = [name for name in sorted(raw) if name not in ("ts", "impression_id")]
    same_id = Window.partitionBy("impression_id", BROKEN)
    in_order = same_id.orderBy(OWN_DAY, "ts", *rest)
    rows = rows.withColumns({BEFORE: F.lag(OWN_DAY).over(in_order), PAIR_BEFORE: F.lag(PAIR).over(in_order)})
    # The same order up to the day, so that the rows are sorted once.
    near = same_id.orderBy(OWN_DAY).rangeBetween(-reach.days, reach.days)
    several = F.min(PAIR).over(near) != F.max(PAIR).over(near)
    rows = rows.withColumn(REPEATED, F.coalesce(F.col(OWN_DAY) <= _until(F.col(BEFORE), reach), F.lit(False)))
    conflict = several | (F.col(REPEATED) & (F.col(PAIR) != F.col(PAIR_BEFORE)))
    outcome = F.coalesce(BROKEN, F.when(conflict, ID_CONFLICT), F.when(F.col(REPEATED), DUPLICATE), F.lit(KEPT))
    return rows.select(*raw, OWN_DAY, REPEATED, outcome.alias("outcome"))


def event_outcomes(events: DataFrame, shown: DataFrame, reach: Reach) -> DataFrame:
    """Add `outcome`, and the own day of the impression, to clicks and plays.

    Reasons: null_key, wrong_day (delivered in a folder further from its own day than `reach` allows), bad_watch (of
    plays: null, negative, NaN or infinite seconds), no_impression, id_conflict, before_impression, after_window. A row
    that repeats another in every value is a duplicate, be it of the same folder (a segment logged twice) or of another.
    """
    watched, raw = F.col(WATCHED), events.columns
    same = Window.partitionBy("impression_id", *[name for name in raw if name not in ("impression_id", "day")])
    late = F.unix_date("day") - F.col(OWN_DAY)
    own = events.withColumn(OWN_DAY, _local_day(reach))
    own = own.withColumn(BROKEN, ~late.between(-EARLY_DAYS, reach.late_days))
    own = own.withColumn(NTH, F.row_number().over(same.orderBy(BROKEN, "day")))
    # Delays are taken in microseconds: a second's fraction decides at the edge of the window.
    delay = F.unix_micros("ts") - F.unix_micros(SHOWN_AT)
    outcome = _first_of(
        null_key=_any_null("impression_id", "ts"),
        wrong_day=F.col(BROKEN),
        bad_watch=_of("plays") & (finite(watched).isNull() | (watched < 0)),
        no_impression=F.col(SHOWN_AT).isNull(),
        id_conflict=F.col(SHOWN_AS) == ID_CONFLICT,
        before_impression=delay < 0,
        after_window=delay > reach.micros,
        duplicate=F.col(NTH) > 1,
    )
    reachable = F.col(OWN_DAY).between(F.col(SHOWN_ON), F.col(SHOWN_UNTIL))
    joined = own.join(shown, (F.col("impression_id") == F.col(SHOWN_ID)) & reachable, "left")
    return joined.select(*raw, SHOWN_ON, F.coalesce(outcome, F.lit(KEPT)).alias("outcome"))


def _shown(impressions: DataFrame, reach: Reach) -> DataFrame:
    """What events look for: the impressions that were kept and, of ids in conflict, the first.

    The days that they reach do not overlap for one id, so that an event finds one at the most.
    """
    first = F.col("outcome").isin(KEPT, ID_CONFLICT) & ~F.col(REPEATED)
    return impressions.where(first).select(
        F.col("impression_id").alias(SHOWN_ID),
        F.col("ts").alias(SHOWN_AT),
        F.col(OWN_DAY).alias(SHOWN_ON),
        _until(F.col(OWN_DAY), reach).alias(SHOWN_UNTIL),
        F.col("outcome").alias(SHOWN_AS),
    )


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
    """The name of a log's own column beside those of other logs, which may have other types."""
    return f"#{log}/{name}"


WATCHED = _own("plays", "watched_seconds")


def _of(log: str) -> Column:
    return F.col(LOG) == log


def _with_profiles(impressions: DataFrame, logs: Logs) -> DataFrame:
    own_length = "length_seconds" in impressions.columns  # known per impression: wins over the video's row
    length = _own("videos", "length_seconds")
    videos = logs.videos.withColumnRenamed("length_seconds", length) if own_length else logs.videos
    taken = set(impressions.columns) - {UPDATED_AT}
    for name, profile, key in (("users", logs.users, "user_id"), ("videos", videos, "video_id")):
        twice = (taken & set(profile.columns)) - {key, UPDATED_AT}
        if twice:
            raise DataError(
                f"bronze/{name}: column {sorted(twice)[0]!r} stands in another log too; rename it in one of them"
            )
        taken |= set(profile.columns)
    rows = with_profile(with_profile(impressions, logs.users, "user_id"), videos, "video_id")
    if length in rows.columns:
        rows = rows.withColumn("length_seconds", F.coalesce("length_seconds", length)).drop(length)
    return rows if "length_seconds" in rows.columns else rows.withColumn("length_seconds", F.lit(None).cast("double"))


def with_profile(rows: DataFrame, profile: DataFrame, key: str) -> DataFrame:
    """Rows with the columns of a user or a video, as of the row's `ts`: of its newest row up to then.

    A row without `updated_at` holds since ever, and so do all where the logs have no such column. Null where the first
    is of later: what was not yet known is not taken from the future.
    """
    if UPDATED_AT not in profile.columns:
        return rows.join(profile, key, "left")
    rest = [name for name in profile.columns if name not in (key, UPDATED_AT)]
    version = F.struct(UPDATED_AT, F.struct(*rest, F.lit(0).alias("#")).alias("row"))
    # All of a key's rows in one, so that a join makes no pair of a row and each of them. A null time comes first.
    versions = profile.groupBy(key).agg(F.array_sort(F.collect_list(version)).alias("#versions"))
    until = F.filter("#versions", lambda version: version[UPDATED_AT].isNull() | (version[UPDATED_AT] <= F.col("ts")))
    newest = F.get(until, F.size(until) - 1)["row"]
    joined = rows.join(versions, key, "left")
    return joined.select(*[F.col(name) for name in rows.columns], *[newest[name].alias(name) for name in rest])


def _with_labels(rows: DataFrame) -> DataFrame:
    share = F.least(F.col("watched_seconds") / F.col("length_seconds"), F.lit(1.0))
    usable = (F.col("clicked") == 1) & (finite(F.col("length_seconds")) > 0)
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
    return reduce(Column.__or__, (F.col(name).isNull() for name in names))


def _local_day(reach: Reach) -> Column:
    return F.unix_date(F.to_date(F.from_utc_timestamp("ts", reach.timezone)))


def _until(day: Column, reach: Reach) -> Column:
    """The last day that a window opened on `day` can reach, as `Reach.until` has it."""
    midnight = F.to_utc_timestamp(F.date_from_unix_date(day + 1).cast("timestamp"), reach.timezone)
    end = F.timestamp_micros(F.unix_micros(midnight) + reach.micros - 1)
    return F.unix_date(F.to_date(F.from_utc_timestamp(end, reach.timezone)))


def _number(day: date) -> int:
    return (day - date(1970, 1, 1)).days
