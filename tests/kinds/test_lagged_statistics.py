"""Statistics with a lag: of the days before and of the row's own day, as a plain loop over all rows finds them."""

import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncs.errors import ConfigError
from ncs.features.earlier import Earlier
from ncs.kinds.statistics import Statistics, column_groups, sum_days
from tests.factories import toy_conf

FIRST = date(2022, 4, 8)
SCHEMA = (
    "impression_id string, user_id long, scene string, ts timestamp, day date, clicked int, cvr double, "
    "watched_seconds double"
)
LAGGED = (
    "statistics=[{by: [user_id], of: [clicked, impressions, cvr, hours_since], days: 2, smoothing: 3, lag_hours: 1.5}, "
    "{by: [user_id, scene], of: [clicked, impressions, cvr, hours_since], days: 2, smoothing: 3, lag_hours: 1.5}]"
)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    random = np.random.default_rng(5)
    at = np.sort(random.integers(0, 4 * 86400, size=300))
    clicked = random.random(300) < 0.5
    return pd.DataFrame(
        {
            "impression_id": [f"i{n}" for n in range(300)],
            "user_id": random.integers(1, 6, size=300),
            "scene": [None if scene == 2 else f"s{scene}" for scene in random.integers(0, 3, size=300)],
            "ts": [datetime(2022, 4, 8, tzinfo=UTC) + timedelta(seconds=int(second)) for second in at],
            "day": [FIRST + timedelta(days=int(second // 86400)) for second in at],
            "clicked": clicked.astype(int),
            "cvr": [value if click else math.nan for value, click in zip(random.random(300), clicked, strict=True)],
            "watched_seconds": 1.0,
        }
    )


def computed(spark: SparkSession, rows: pd.DataFrame, day: date) -> pd.DataFrame:
    """The day's rows with their statistics, indexed by impression."""
    samples: DataFrame = spark.createDataFrame(rows, SCHEMA).withColumn("cvr", F.nanvl("cvr", F.lit(None)))
    conf = toy_conf(LAGGED)
    daily = sum_days(samples.where(F.col("day") < day), column_groups(conf.statistics))
    own = samples.where(F.col("day") == day)
    earlier = Earlier(conf, [day], daily, samples.where(F.col("day") == day - timedelta(days=1)), own)
    return earlier.with_statistics(own).toPandas().set_index("impression_id").sort_index()


def expected(rows: pd.DataFrame, row: pd.Series, statistics: Statistics) -> list[float]:
    """By the definition: rows of the key in the window, at least the lag before the row."""
    assert statistics.lag_hours is not None
    days = [row["day"] - timedelta(days=n) for n in range(statistics.days + 1)]
    before = rows[rows["day"].isin(days[1:])]
    known = rows[rows["day"].isin(days)]
    for column in statistics.by:
        known = known[known[column] == row[column]]
    known = known[known["ts"] < row["ts"] - timedelta(hours=statistics.lag_hours)]
    clicked = (known["clicked"].sum() + 3 * before["clicked"].mean()) / (len(known) + 3)
    cvr = (known["cvr"].sum() + 3 * before["cvr"].mean()) / (known["cvr"].count() + 3)
    seen = known[known["day"] >= days[1]]["ts"]
    since = math.nan if seen.empty else math.log1p((row["ts"] - seen.max()) / timedelta(hours=1))
    return [clicked, math.log1p(len(known)), cvr, since]


def test_they_are_what_the_definition_says_and_know_nothing_later(spark: SparkSession, rows: pd.DataFrame) -> None:
    day = FIRST + timedelta(days=2)
    statistics = toy_conf(LAGGED).statistics
    assert next(iter(statistics[1].fields)) == "user_id_scene_clicked_2d_lag_1_5h"
    found = computed(spark, rows, day)
    assert len(found) == (rows["day"] == day).sum()
    for _, row in rows[rows["day"] == day].iterrows():
        for one in statistics:
            values = found.loc[row["impression_id"], list(one.fields)].astype(float).tolist()
            given = all(row[column] is not None for column in one.by)
            wanted = expected(rows, row, one) if given else [math.nan] * 4
            assert values == pytest.approx(wanted, abs=1e-5, nan_ok=True), row["impression_id"]
    moment = rows[rows["day"] == day]["ts"].iloc[20]
    known = computed(spark, rows[rows["ts"] <= moment], day)
    pd.testing.assert_frame_equal(known, found.loc[known.index])


def test_the_time_since_the_latest_row_needs_single_rows() -> None:
    with pytest.raises(ConfigError, match="hours_since by user_id looks back to single rows; add lag_hours"):
        toy_conf("statistics=[{by: [user_id], of: [hours_since]}]")
