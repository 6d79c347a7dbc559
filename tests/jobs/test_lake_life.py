"""Columns join, leave and change their type in a lake's life; a day that cannot be taken blocks itself alone."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.job import Job
from jobs.pipeline import encode, ingest, label
from ncs.config import Config
from ncs.days import Days
from ncs.errors import DataError
from ncs.lake import layout
from ncs.lake.layout import Lake
from tests.jobs.test_ingest import put

DAYS = Days.parse("2022-04-08..2022-04-11")
FIELDS = "user_id: {side: user, encode: vocabulary}, video_id: {side: video, encode: vocabulary}"

ACCEPTED: dict[str, tuple[pa.Array, str, Any]] = {
    "flag": (pa.array([True, None]), "boolean", True),
    "tiny": (pa.array([1, None], pa.int8()), "tinyint", 1),
    "whole": (pa.array([2**60 + 1, None]), "bigint", 2**60 + 1),
    "half": (pa.array([0.5, None], pa.float32()), "float", 0.5),
    "price": (pa.array([Decimal("1.50"), None], pa.decimal128(25, 2)), "decimal(25,2)", Decimal("1.50")),
    "word": (pa.array(["a", None]).dictionary_encode(), "string", "a"),
    "on": (pa.array([date(2022, 4, 1), None]), "date", date(2022, 4, 1)),
    "naive": (pa.array([datetime(2022, 4, 1, 12), None], pa.timestamp("us")), "timestamp", datetime(2022, 4, 1, 12)),
    "tags": (pa.array([["a", "b"], None]), "array<string>", ["a", "b"]),
    "nothing": (pa.nulls(2), "string", None),
}
"""Column -> its values, its type in bronze, the first value there."""

REFUSED: dict[str, tuple[pa.Array, str]] = {
    "duration": (pa.array([timedelta(1)] * 2, pa.duration("us")), r"duration\[us\]"),
    "time": (pa.array([time(1)] * 2, pa.time64("us")), r"time64\[us\]"),
    "wide": (pa.array([Decimal(1)] * 2, pa.decimal256(60, 2)), r"decimal256\(60, 2\)"),
    "lists": (pa.array([[["a"]]] * 2), "list"),
    "struct": (pa.array([{"a": 1}] * 2), "struct"),
    "map": (pa.array([[("a", 1)]] * 2, pa.map_(pa.string(), pa.int64())), "map"),
}
"""Column -> its values, and how its type is named."""


def put_day(root: Path, day: date, **columns: pa.Array) -> None:
    """A day of two impressions, the first clicked and played, with further columns."""
    times = pa.array([datetime(day.year, day.month, day.day, hour) for hour in (9, 10)], pa.timestamp("us", "UTC"))
    own = {"impression_id": [f"{day}-1", f"{day}-2"], "user_id": [1, 2], "video_id": [11, 12], "ts": times}
    path = put(root, "impressions", day, "", "a.parquet")
    pq.write_table(pa.table({**own, **columns}), path)
    put(root, "clicks", day, f"impression_id,ts\n{day}-1,{day} 09:00:05\n")
    put(root, "plays", day, f"impression_id,ts,watched_seconds\n{day}-1,{day} 09:00:06,4.5\n")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    root = tmp_path / "logs"
    for day in DAYS:
        put_day(root, day)
    put(root, "users", None, "user_id,age,income\n1,20,\n2,30,\n")
    put(root, "videos", None, "video_id,length_seconds\n11,9\n12,9\n")
    return root


@pytest.fixture
def make_job(load_conf: Callable[..., Config], lake: Lake, logs: Path, spark: SparkSession) -> Callable[..., Job]:
    def make(*more: str, days: Days = DAYS) -> Job:
        settings = ["spark.sql.shuffle.partitions=2", f"logs.source={logs}", f"logs.days={DAYS}", "split.test_days=1"]
        return Job(load_conf(*settings, f"fields={{{FIELDS}}}", *more), lake, days, quiet=True)

    return make


def values(spark: SparkSession, lake: Lake, table: str, column: str) -> list[Any]:
    rows = spark.read.format("delta").load(lake.uri(table))
    return [row[0] for row in rows.orderBy("day", "impression_id").select(column).collect()]


def types(spark: SparkSession, lake: Lake, table: str) -> dict[str, str]:
    return dict(spark.read.format("delta").load(lake.uri(table)).dtypes)


def test_every_type_of_the_list_is_kept_and_the_table_is_for_all_readers(
    spark: SparkSession, make_job: Callable[..., Job], logs: Path, lake: Lake
) -> None:
    put_day(logs, DAYS.first, **{name: array for name, (array, _, _) in ACCEPTED.items()})
    ingest.run(make_job(days=Days(DAYS.first, DAYS.first)))
    found = types(spark, lake, layout.IMPRESSIONS)
    assert {name: found[name] for name in ACCEPTED} == {name: kind for name, (_, kind, _) in ACCEPTED.items()}
    for name, (_, _, first) in ACCEPTED.items():
        assert values(spark, lake, layout.IMPRESSIONS, name) == [first, None], name
    protocol = lake.table(layout.IMPRESSIONS).protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 4)


def test_a_column_that_cannot_be_kept_blocks_its_day_alone(
    spark: SparkSession, make_job: Callable[..., Job], logs: Path, lake: Lake
) -> None:
    days = Days(DAYS.first, DAYS.first + timedelta(days=len(REFUSED)))
    put_day(logs, DAYS.first)
    for day, (name, (array, _)) in zip(list(days)[1:], REFUSED.items(), strict=True):
        put_day(logs, day, **{name: array})
    job = make_job(days=days)
    ingest.run(job)
    assert list(lake.records(layout.IMPRESSIONS)) == [str(DAYS.first)]
    for day, (name, (_, kind)) in zip(list(days)[1:], REFUSED.items(), strict=True):
        message = (
            rf"^impressions of {day}, .*a\.parquet: column '{name}' is {kind}.*; cast it where the log is written$"
        )
        with pytest.raises(DataError, match=message):
            raise DataError(job.blocked[day])
    for day in list(days)[1:]:
        put_day(logs, day)
    again = make_job(days=days)
    ingest.run(again)
    assert again.blocked == {}
    assert set(lake.records(layout.IMPRESSIONS)) == {str(day) for day in days}


def test_columns_of_a_day_log_take_wider_types(
    spark: SparkSession, make_job: Callable[..., Job], logs: Path, lake: Lake
) -> None:
    """Day by day: a void column gets values, whole numbers become doubles, decimals more digits; a column leaves."""
    first, second, third, fourth = DAYS
    prices = [pa.array([Decimal(price)] * 2) for price in ("1.5", "2.25")]
    put_day(logs, first, grade=pa.array([20, None], pa.int32()), promo=pa.nulls(2), price=prices[0])
    put_day(logs, second, grade=pa.array([21, 2**40]), promo=pa.array([7, None]), price=prices[1])
    put_day(logs, third, grade=pa.array([22.5, None]), promo=pa.nulls(2), price=pa.nulls(2))
    put_day(logs, fourth)
    for day in DAYS:
        job = make_job(days=Days(day, day))
        ingest.run(job)
        assert job.blocked == {}
    found = types(spark, lake, layout.IMPRESSIONS)
    assert (found["grade"], found["promo"], found["price"]) == ("double", "bigint", "decimal(3,2)")
    assert values(spark, lake, layout.IMPRESSIONS, "grade") == [20.0, None, 21.0, 2.0**40, 22.5, None, None, None]
    assert values(spark, lake, layout.IMPRESSIONS, "promo") == [None, None, 7, None, None, None, None, None]
    assert set(lake.records(layout.IMPRESSIONS)) == {str(day) for day in DAYS}
    version = lake.version(layout.IMPRESSIONS)
    ingest.run(make_job())
    assert lake.version(layout.IMPRESSIONS) == version  # each day's record says what it was made from
    required = lake.table(layout.IMPRESSIONS).metadata().configuration
    assert required["delta.constraints.day_is_given"] == "day IS NOT NULL"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (pa.array(["a", "b"]), pa.array([1, 2]), "is bigint, in bronze/impressions so far it is string; cast it"),
        (pa.array([2**60 + 1, 1]), pa.array([1.5, None]), f"like {2**60 + 1}, which a double would round; write it as"),
    ],
)
def test_a_column_of_another_kind_blocks_its_day_alone(
    make_job: Callable[..., Job], logs: Path, lake: Lake, before: pa.Array, after: pa.Array, message: str
) -> None:
    first, second, *_ = DAYS
    put_day(logs, first, code=before)
    put_day(logs, second, code=after)
    job = make_job(days=Days(first, second))
    ingest.run(job)
    assert list(job.blocked) == [second]
    assert message in job.blocked[second]
    put_day(logs, second, code=before)
    again = make_job(days=Days(first, second))
    ingest.run(again)
    assert again.blocked == {}


def test_any_error_while_a_day_is_read_blocks_it_alone(
    make_job: Callable[..., Job], logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = DAYS
    (logs / "clicks" / f"day={second}" / "a.csv").write_bytes(b"impression_id,ts\n\xff\xfe,2022-04-09 09:00:00\n")
    read = pq.ParquetFile.__init__

    def fail(self: pq.ParquetFile, source: Any, *args: Any, **more: Any) -> None:
        if f"day={second}" in str(getattr(source, "name", source)):
            raise ValueError("no such encoding")
        read(self, source, *args, **more)

    monkeypatch.setattr(pq.ParquetFile, "__init__", fail)
    job = make_job(days=Days(first, second))
    ingest.run(job)
    assert list(job.blocked) == [second]
    assert "no such encoding" in job.blocked[second]
    monkeypatch.undo()
    put_day(logs, second)
    again = make_job(days=Days(first, second))
    ingest.run(again)
    assert again.blocked == {}


@pytest.mark.slow
def test_samples_follow_the_types_of_a_new_delivery(
    spark: SparkSession, make_job: Callable[..., Job], logs: Path, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    """Users arrive with an age unknown, so that pandas writes doubles, and with incomes at last; later with words."""
    more = ["fields.age={side: user, encode: vocabulary}", "fields.income={side: user, encode: buckets, buckets: 2}"]
    for stage in (ingest, label, encode):
        stage.run(make_job(*more))
    assert types(spark, lake, layout.SAMPLES)["age"] == "bigint"
    ids = values(spark, lake, "gold/ctr_samples", "age")
    put(logs, "users", None, "user_id,age,income\n1,20.0,100.5\n2,30.0,7\n3,40.5,8\n")
    for stage in (ingest, label, encode):
        stage.run(make_job(*more))
    found = types(spark, lake, layout.SAMPLES)
    assert (found["age"], found["income"]) == ("double", "double")
    assert values(spark, lake, layout.SAMPLES, "income") == [100.5, 7.0] * len(DAYS)
    assert values(spark, lake, "gold/ctr_samples", "age") == ids  # 20.0 is 20
    # Two days alone are labelled again: the others keep what they say.
    words = "user_id,age,income\n1,young,100.5\n2,old,7\n"
    put(logs, "users", None, words)
    two = Days(DAYS.first, DAYS.first + timedelta(days=1))
    job = make_job(days=two)
    job.quiet = False
    ingest.run(job)
    assert "users: column 'age' is string now, it was double" in capsys.readouterr().err
    label.run(make_job(days=two))
    assert values(spark, lake, layout.SAMPLES, "age") == ["young", "old"] * 2 + ["20", "30"] * 2
    put(logs, "users", None, "user_id,age,income\n1,20,100.5\n2,30,7\n")
    ingest.run(make_job())
    for stage in (ingest, label, encode):
        stage.run(make_job(*more))
    assert types(spark, lake, layout.SAMPLES)["age"] == "bigint"
    assert values(spark, lake, layout.SAMPLES, "age") == [20, 30] * len(DAYS)


def test_tasks_and_fields_join_leave_and_are_renamed(
    spark: SparkSession, make_job: Callable[..., Job], lake: Lake
) -> None:
    """A label outside [0, 1] is refused before anything is written; gold's checks are those of the tasks there are."""
    ingest.run(make_job())
    label.run(make_job())
    with pytest.raises(DataError, match=r"^tasks\.long\.label: 'watched_seconds' is 4\.5 on impression .*-1 of 2022"):
        encode.run(make_job("tasks.long={label: watched_seconds, loss: squared_error, metric: mse}"))
    assert not lake.has(layout.VOCABULARY)
    assert not lake.has("gold/long_samples")
    task = "{label: watched_seconds / 9, loss: squared_error, metric: mse}"
    encode.run(make_job(f"tasks.long={task}"))
    encode.run(make_job(f"tasks.seen={task}"))
    checks = lake.table("gold/ctr_samples").metadata().configuration
    assert "delta.constraints.long_is_a_share" in checks
    assert "delta.constraints.seen_is_a_share" in checks
    assert values(spark, lake, "gold/ctr_samples", "seen")[0] == 0.5
    assert values(spark, lake, "gold/ctr_samples", "long")[0] is None
    encode.run(make_job("fields={user_id: {side: user, encode: vocabulary}, age: {side: user, encode: buckets}}"))
    encode.run(make_job("fields={user_id: {side: user, encode: vocabulary}, age: {side: user, encode: vocabulary}}"))
    assert values(spark, lake, "gold/ctr_samples", "age") == [1, 2] * len(DAYS)
