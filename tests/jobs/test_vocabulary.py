"""A vocabulary that is rebuilt forgets what nobody has seen for long, and nothing else does."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from deltalake import CommitProperties, write_deltalake
from pyspark.sql import SparkSession

from jobs.job import Job
from jobs.pipeline import encode
from ncs.days import Days
from ncs.lake import layout
from ncs.lake.layout import Lake, Record, user_metadata
from tests.factories import toy_conf

FIELDS = "fields={user_id: {side: user, encode: vocabulary}, video_id: {side: video, encode: vocabulary}}"


def write_samples(lake: Lake) -> None:
    """On each day its own user, called as the day, sees video 1."""
    for number in range(8, 13):
        day = date(2022, 4, number)
        noon = datetime(2022, 4, number, 12, tzinfo=UTC)
        rows = {"impression_id": [f"{number}"], "user_id": [number], "video_id": [1], "clicked": [1], "cvr": [0.5]}
        rows |= {"day": [day], "ts": [noon]}
        facts = {"samples": 1, "provisional": False}
        properties = CommitProperties(
            custom_metadata={"userMetadata": user_metadata([Record("label", str(day), {}, facts)])}
        )
        uri = lake.uri(layout.SAMPLES)
        write_deltalake(uri, pa.table(rows), mode="append", partition_by=["day"], commit_properties=properties)


@pytest.mark.parametrize(("forget", "users"), [("null", {11, 12}), ("4", {9, 10, 11, 12})])
def test_values_of_the_remembered_days_keep_an_id(
    spark: SparkSession, lake: Lake, forget: str, users: set[int]
) -> None:
    write_samples(lake)
    days = "logs.days=2022-04-08..2022-04-12"
    conf = toy_conf(
        FIELDS, days, "window.train=2", "window.test=0", f"window.forget_days={forget}", "split.validation=0.2"
    )
    encode.rebuild_vocabulary(Job(conf, lake, Days.parse("2022-04-12"), quiet=True))
    rows = lake.read(layout.VOCABULARY, lake.version(layout.VOCABULARY), ["field", "value", "id"]).to_pylist()
    assert {int(row["value"]) for row in rows if row["field"] == "user_id"} == users
    assert sorted(row["id"] for row in rows if row["field"] == "user_id") == list(range(1, len(users) + 1))
