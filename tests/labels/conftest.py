"""Labelling of hand-written logs."""

from datetime import timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from ncs.days import Days
from ncs.labels.join import Labelled, Logs, label_days
from ncs.labels.reach import Reach
from tests.labels.logs import CLICK, DAY, IMPRESSION, PLAY


@pytest.fixture
def label(spark: SparkSession) -> Any:
    def run(
        impressions: list[tuple],
        clicks: list[tuple],
        plays: list[tuple],
        hours: float = 24,
        timezone: str = "UTC",
        days: Days | None = None,
        late_days: int = 1,
        redated: bool = False,
    ) -> Labelled:
        logs = Logs(
            spark.createDataFrame(impressions, IMPRESSION),
            spark.createDataFrame(clicks, CLICK),
            spark.createDataFrame(plays, PLAY),
            spark.createDataFrame([(1, "18-24")], "user_id long, age_group string"),
            spark.createDataFrame(
                [(10, 100.0), (11, None), (12, 0.0), (13, float("nan"))],
                "video_id long, length_seconds double",
            ),
        )
        return label_days(logs, days or Days(DAY, DAY), Reach(timezone, timedelta(hours=hours), late_days, redated))

    return run
