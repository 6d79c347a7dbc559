"""The gate over Delta tables: exit codes, messages, pages beside the tables, and no second reading."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.cli import main
from jobs.job import Job
from jobs.pipeline import validate
from ncs.config import Config
from ncs.days import Days
from ncs.errors import ConfigError, DataError, GateError
from ncs.lake import storage
from ncs.lake.layout import Lake
from validation import quality_page
from validation.verdicts import stored

DAYS = Days.parse("2022-04-08..2022-04-09")
FIELDS = "fields={user_id: {side: user, encode: vocabulary}, video_id: {side: video, encode: vocabulary}}"
SAMPLES = (
    "impression_id string, user_id bigint, video_id bigint, ts timestamp, day date, length_seconds double, "
    "clicked int, watched_seconds double, cvr double"
)


def write_samples(spark: SparkSession, lake: Lake, click_days: tuple[date, ...] = tuple(DAYS)) -> None:
    rows = []
    for n in range(20):
        day = tuple(DAYS)[n // 10]
        clicked = int(n % 2 == 0 and day in click_days)
        ts = datetime(day.year, day.month, day.day, 12, n)
        rows.append((f"i{n}", n, n, ts, day, 20.0, clicked, 10.0, 0.5 if clicked else None))
    writer = spark.createDataFrame(rows, SAMPLES).coalesce(1).write.format("delta").mode("overwrite")
    writer.partitionBy("day").save(lake.uri("silver/samples"))


def write_users(spark: SparkSession, lake: Lake, ids: list[int]) -> None:
    users = spark.createDataFrame([(n,) for n in ids], "user_id bigint").coalesce(1)
    users.write.format("delta").mode("overwrite").save(lake.uri("bronze/users"))


@pytest.fixture
def job(spark: SparkSession, lake: Lake, load_conf: Callable[..., Config]) -> Job:
    return Job(load_conf(FIELDS), lake, DAYS)


def test_good_tables_pass_and_their_page_stands_beside_them(
    spark: SparkSession, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    write_samples(spark, job.lake)
    write_users(spark, job.lake, [1, 2])
    before = {table: set(Path(job.lake.uri(table)).rglob("*")) for table in ("silver/samples", "bronze/users")}
    validate.run(job)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("validate: bronze/users (days all, version 0) meets its")
    assert lines[1].startswith(f"validate: silver/samples (days {DAYS}, version 0) meets its")
    assert {table: set(Path(job.lake.uri(table)).rglob("*")) for table in before} == before
    page = Path(quality_page.uri(job.lake)).read_text()
    assert "Every table passed its newest check" in page
    assert "silver/samples, 2022-04-08..2022-04-09" in page
    assert "bronze/users, without days" in page
    verdict = storage.read_json(job.lake.uri("validation", "silver-samples.json"))
    assert (verdict["table"], verdict["version"], verdict["success"]) == ("silver/samples", 0, True)
    assert (verdict["days"], {finding["met"] for finding in verdict["findings"]}) == (str(DAYS), {True})


def test_what_has_passed_is_not_read_again_until_something_changes(
    spark: SparkSession, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    write_users(spark, job.lake, [1, 2])
    validate.gate(job, "bronze/users")
    first = stored(job.lake, "bronze/users")
    storage.remove(quality_page.uri(job.lake))
    validate.gate(job, "bronze/users")
    assert "as found before" in capsys.readouterr().err
    assert stored(job.lake, "bronze/users") == first
    assert not storage.exists(quality_page.uri(job.lake))

    write_users(spark, job.lake, [1, 1])
    with pytest.raises(GateError, match="no user_id comes twice"):
        validate.gate(job, "bronze/users")
    with pytest.raises(GateError, match="no user_id comes twice"):  # a failure is looked at again
        validate.gate(job, "bronze/users")
    verdict = stored(job.lake, "bronze/users")
    assert verdict is not None
    assert (verdict.version, verdict.success, len(verdict.failed)) == (1, False, 1)


def test_other_days_are_another_question(spark: SparkSession, job: Job) -> None:
    write_samples(spark, job.lake)
    validate.gate(job, "silver/samples")
    longer = replace(job, days=DAYS.widened(after=1))
    with pytest.raises(GateError, match=r"every day of 2022-04-08\.\.2022-04-10 is there; found day 2022-04-10"):
        validate.gate(longer, "silver/samples")


def test_all_failures_are_told_in_one_message(spark: SparkSession, job: Job) -> None:
    write_samples(spark, job.lake, click_days=(DAYS.first,))
    write_users(spark, job.lake, [1, 1, 2])
    with pytest.raises(GateError) as caught:
        validate.run(job)
    text = str(caught.value)
    assert caught.value.exit_code == 3
    assert f"silver/samples (days {DAYS}, version 0) fails 1 of" in text
    assert (
        "clicked: each day's mean of clicked is above 0 and lies in [0.05, 0.95]; "
        "found day 2022-04-09, mean 0, rows 10 (expect_no_rows)"
    ) in text
    assert "bronze/users (days all, version 0) fails 1 of" in text
    assert text.endswith(f"See {quality_page.uri(job.lake)}")


def test_what_the_logs_say_is_text_on_the_page_and_runs_nothing(spark: SparkSession, job: Job) -> None:
    markup = "<img src=x onerror=alert(1)>\"'&$x_{<script>alert(2)</script>"
    day = DAYS.first
    ts = datetime(day.year, day.month, day.day, 12)
    rows = [(markup, 1, 1, ts, day, 20.0, 1, 10.0, 7.0), (markup, 2, 2, ts, day, 20.0, 0, 10.0, None)]
    writer = spark.createDataFrame(rows, SAMPLES).coalesce(1).write.format("delta").mode("overwrite")
    writer.partitionBy("day").save(job.lake.uri("silver/samples"))
    with pytest.raises(GateError):
        validate.gate(replace(job, days=Days(day, day)), "silver/samples")
    page = Path(quality_page.uri(job.lake)).read_text()
    assert "&lt;img src=x" in page, "the examples are there"
    assert "<img src=x" not in page
    assert "<script" not in page
    assert "default-src 'none'" in page.partition("<style")[0]


def test_encoded_samples_are_held_against_the_vocabulary(spark: SparkSession, job: Job) -> None:
    vocabulary = spark.createDataFrame(
        [("user_id", "7", 1, 5), ("video_id", "8", 1, 3), ("video_id", "9", 2, 2)],
        "field string, value string, id int, count bigint",
    )
    vocabulary.coalesce(1).write.format("delta").save(job.lake.uri("gold/vocabulary"))
    encoded = spark.createDataFrame(
        [(f"i{n}", day, "train", n, 2, 2, 1.0, float("nan")) for n, day in enumerate(DAYS)],
        "impression_id string, day date, split string, day_number int, user_id int, video_id int, clicked float, "
        "cvr float",
    )
    encoded.coalesce(1).write.format("delta").partitionBy("day").save(job.lake.uri("gold/ctr_samples"))
    with pytest.raises(GateError, match=r"fails 1 of .*\n  user_id: min_value=0.*max_value=1.*; found 2 of 2 rows"):
        validate.gate(job, "gold/ctr_samples")


def test_unknown_and_absent_tables_are_named(job: Job) -> None:
    with pytest.raises(ConfigError, match="no suite for 'silver/sample'; there are bronze/impressions, "):
        validate.run(job, "silver/sample")
    with pytest.raises(DataError, match="silver/samples is not in the lake"):
        validate.run(job, "silver/samples")
    with pytest.raises(DataError, match="no table to validate"):
        validate.run(job)


def test_the_command_line_ends_with_3(spark: SparkSession, lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    write_samples(spark, lake, click_days=(DAYS.last,))
    conf = str(Path(__file__).parents[2] / "conf" / "demo.yaml")
    command = ["validate", "--conf", conf, "--lake", lake.root, "--days", str(DAYS), "--set", FIELDS]
    assert main([*command, "--table", "silver/samples"]) == 3
    assert "found day 2022-04-08, mean 0, rows 10" in capsys.readouterr().err
    assert main([*command, "--table", "gold/nothing"]) == 2
