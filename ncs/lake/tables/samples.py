"""The tables from the logs to the samples that models learn from."""

import sys

from ncs.lake import names
from ncs.lake.columns import (
    DAY,
    FOLDER,
    IMPRESSION,
    LENGTH,
    TIME,
    USER,
    VIDEO,
    Between,
    Column,
    OneOf,
)
from ncs.lake.tables.table import Table
from ncs.tasks import CTR, CVR

IMPRESSIONS = Table(
    names.IMPRESSIONS,
    "ingest",
    "What was shown: a row an impression, as delivered",
    {"impression_id": IMPRESSION, "user_id": USER, "video_id": VIDEO, "ts": TIME, "day": FOLDER},
    ("day",),
    "context columns of the log; position (integer) and length_seconds (double) where the log has them",
    cluster_by=("user_id", "video_id"),
)
CLICKS = Table(
    names.CLICKS,
    "ingest",
    "Clicks: a row an event, as delivered",
    {"impression_id": IMPRESSION, "ts": TIME, "day": FOLDER},
    ("day",),
    cluster_by=("impression_id",),
)
PLAYS = Table(
    names.PLAYS,
    "ingest",
    "Play segments: several of one impression add up, as delivered",
    {
        "impression_id": IMPRESSION,
        "ts": TIME,
        "watched_seconds": Column("double", "seconds watched in this segment"),
        "day": FOLDER,
    },
    ("day",),
    cluster_by=("impression_id",),
)
USERS = Table(
    names.USERS,
    "ingest",
    "Users: a row each, of each time since when it holds where the log has updated_at",
    {"user_id": USER.checked},
    rest="profile columns of the log; updated_at (timestamp) where the log has it",
    key=("user_id",),
    cluster_by=("user_id",),
)
VIDEOS = Table(
    names.VIDEOS,
    "ingest",
    "Videos: a row each, of each time since when it holds where the log has updated_at",
    {"video_id": VIDEO.checked},
    rest="item columns of the log; updated_at (timestamp) where the log has it; length_seconds (double) unless each "
    "impression tells it",
    key=("video_id",),
    cluster_by=("video_id",),
)
SAMPLES = Table(
    names.SAMPLES,
    "label",
    "Labelled impressions: a row an impression that was kept",
    {
        "impression_id": IMPRESSION.required,
        "user_id": USER.required,
        "video_id": VIDEO.required,
        "ts": TIME.required,
        "day": DAY,
        "length_seconds": LENGTH,
        "clicked": Column(
            "integer",
            "1 if a click came within the attribution window, else 0",
            values=OneOf("clicked_is_0_or_1", (0, 1)),
        ).required,
        "watched_seconds": Column(
            "double",
            "seconds of its play segments within the window, clicked or not",
            # The largest double as the end keeps out infinity and NaN, which Spark orders after every number.
            values=Between("watched_is_finite", 0, sys.float_info.max),
        ).required,
        "cvr": Column(
            "double",
            "min(watched / length, 1) where clicked and the length is known, else null",
            values=Between("cvr_is_a_share", 0, 1),
        ),
    },
    ("day",),
    "context, user and video columns of the logs",
    key=("impression_id",),
    checks={"cvr_only_of_clicks": "cvr IS NULL OR clicked = 1"},
    cluster_by=("user_id", "video_id"),
)
QUARANTINE = Table(
    names.QUARANTINE,
    "label",
    "Raw rows that were set aside, each with its reason",
    {
        "log": Column(
            "string", "impressions, clicks or plays", values=OneOf("log_is_known", ("impressions", "clicks", "plays"))
        ).required,
        "day": FOLDER,
        "reason": Column(
            "string",
            "null_key, wrong_day, id_conflict, bad_watch, no_impression, before_impression, after_window",
        ).required,
        "impression_id": Column("string", "id that the row names, if any"),
        "row": Column("string", "the raw row as JSON").required,
    },
    ("day",),
)
DAILY_STATISTICS = Table(
    names.DAILY_STATISTICS,
    "encode",
    "What happened on a day to the impressions that agree in some columns: a row a day, group of columns and key",
    {
        "day": DAY,
        "group": Column("string", "the columns, as user_id,category; *: all rows of the day").required,
        "key": Column("string", "their values: of one column as text, of several as a JSON list").required,
        "impressions": Column("long", "rows", values=Between("rows_are_positive", 1)).required,
        "clicks": Column("long", "rows that were clicked", values=Between("clicks_are_counted", 0)).required,
        "labelled": Column("long", "rows with a cvr", values=Between("labels_are_counted", 0)).required,
        "cvr": Column("double", "sum of cvr", values=Between("cvr_is_summed", 0)).required,
        "watched_seconds": Column(
            "double", "sum of watched_seconds, at most a day of each row", values=Between("watched_is_summed", 0)
        ).required,
    },
    ("day",),
    key=("day", "group", "key"),
    checks={"clicks_are_impressions": "clicks <= impressions"},
    cluster_by=("group",),
)
VOCABULARY = Table(
    names.VOCABULARY,
    "encode",
    "What encoding learns on the training days: ids of values (0, which has no row, is unknown or rare), edges of "
    "buckets, scales of numbers",
    {
        "field": Column("string", "a feature").required,
        "value": Column(
            "string",
            "the value; of a bucket its lower edge; of a number on a standard or log scale its mean (id 1) and "
            "standard deviation (id 2), of one on a quantile scale its percentiles from the least to the largest",
        ).required,
        "id": Column(
            "integer", "from 1: by falling frequency, buckets by rising value", values=Between("id_is_known", 1)
        ).required,
        "count": Column(
            "long", "rows of the training days with this value", values=Between("count_is_positive", 1)
        ).required,
    },
)


def sample_table(task: str, rows: str, label: Column) -> Table:
    """The samples of a task, whose label stands in a column called like the task unless `clicked`.

    A file of theirs is a row group, which workers distribute, and its rows stand in the order that training reads: no
    upkeep rewrites them.
    """
    return Table(
        f"gold/{task}_samples",
        "encode",
        f"{rows}, as inputs of the net; rows of a day in a seeded random order",
        {
            "impression_id": IMPRESSION.required,
            "day": DAY,
            "split": Column(
                "string",
                "validation: rows that split.validation takes by a hash of their id or by the hour, else train; "
                "test in rows of earlier versions",
                values=OneOf("split_is_known", ("train", "validation", "test")),
            ).required,
            "day_number": Column(
                "integer", "the day as days since 1970-01-01: Petastorm sees no partition columns"
            ).required,
            "clicked" if task == CTR else task: label,
        },
        ("day", "split"),
        "a column for each feature: an integer, its id in gold/vocabulary or 0; of a list or history an array of "
        "ids, -1 behind the last; a float, NaN where a number or statistic is missing; of a vector an array of floats; "
        "and a float for the label of each other task, NaN where the row has none",
        key=("impression_id",),
        compact=False,
    )


CTR_SAMPLES = sample_table(CTR, "Samples of CTR: every impression", Column("float", "1 if clicked, else 0"))
CVR_SAMPLES = sample_table(
    CVR, "Samples of CVR: clicked impressions with a label", Column("float", "share of the video that was watched")
)
SAMPLE_TABLES = (
    IMPRESSIONS,
    CLICKS,
    PLAYS,
    USERS,
    VIDEOS,
    SAMPLES,
    QUARANTINE,
    DAILY_STATISTICS,
    VOCABULARY,
    CTR_SAMPLES,
    CVR_SAMPLES,
)
