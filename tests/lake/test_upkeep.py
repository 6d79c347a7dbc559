"""Upkeep: what it would do, and that neither a stored model nor what made a day is lost to it."""

import os
import shutil
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.job import Job
from jobs.pipeline.maintain import run
from ncs.config import Config
from ncs.days import Days
from ncs.errors import DataError
from ncs.lake import layout, storage, upkeep
from ncs.lake.layout import Lake, Record
from ncs.lake.writer import replace_days
from tests.factories import run_description

DAYS = Days.parse("2022-04-08..2022-04-09")
WEEK = timedelta(days=7)


def write(spark: SparkSession, lake: Lake, table: str, day: str, version: int, files: int = 3) -> None:
    columns = ["CAST(id AS STRING) AS impression_id", "id AS user_id", "id % 7 AS video_id", f"{version} AS value"]
    columns += [f"DATE '{day}' AS day", "'train' AS split", "1 AS day_number"]
    rows = spark.range(60).selectExpr(*columns)
    replace_days(rows.repartition(files), lake.uri(table), [Record("label", day, {"n": version})])


def age(lake: Lake, days: int) -> None:
    """Let everything be as if written so long ago."""
    past = time.time() - days * 86400
    for path in Path(lake.root).rglob("*"):
        os.utime(path, (past, past))
    for log in Path(lake.root).rglob("_delta_log/*.json"):
        text = log.read_text()
        log.with_name(f".{log.name}.crc").unlink(missing_ok=True)
        for part in text.split('"deletionTimestamp":')[1:]:
            text = text.replace(part.split(",")[0].split("}")[0], str(int(past * 1000)))
        log.write_text(text)


def values(lake: Lake, table: str, version: int) -> set[int]:
    return set(lake.read(table, version, ["value"])["value"].to_pylist())


@pytest.fixture(scope="module")
def written(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake of two days, the first of which was written three times; a model was trained on the second writing."""
    lake = Lake.at(str(tmp_path_factory.mktemp("written") / "lake"))
    for table in (layout.IMPRESSIONS, "gold/ctr_samples"):
        for day, version in (("2022-04-09", 0), ("2022-04-08", 1), ("2022-04-08", 2), ("2022-04-08", 3)):
            write(spark, lake, table, day, version)
    pinned = {layout.IMPRESSIONS: 3, "gold/gone": 4, layout.VOCABULARY: 0, "gold/ctr_samples": 99}
    storage.write_json(lake.uri("models", "a", "run.json"), run_description("a", pinned))
    return lake


@pytest.fixture
def job(written: Lake, lake: Lake, load_conf: Callable[..., Config]) -> Job:
    """A copy of that lake, as if all of it had been written forty days ago."""
    shutil.copytree(written.root, lake.root)
    age(lake, days=40)
    return Job(load_conf(), lake, DAYS, quiet=True)


def test_a_report_changes_nothing(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime for path in Path(job.lake.root).rglob("*")}
    run(job)
    assert {path: path.stat().st_mtime for path in Path(job.lake.root).rglob("*")} == before
    _, _, bronze, gold, *_ = capsys.readouterr().out.splitlines()
    assert gold.split() == ["gold/ctr_samples", "6", "0.0", "0", "6", "-"]
    assert bronze.split() == ["bronze/impressions", "6", "0.0", "2", "3", "3"]


def test_days_are_put_together_and_what_a_model_needs_stays(job: Job, spark: SparkSession) -> None:
    lake, records = job.lake, job.lake.records(layout.IMPRESSIONS)
    half = Path(lake.root, "models", "a", ".model.pt.0123abcd.unfinished")
    orphan = Path(lake.root, layout.IMPRESSIONS, "day=2022-04-08", "part-00000-of-a-killed-run.parquet")
    young = orphan.with_name("part-00000-of-a-run-at-work.parquet")
    for path in (half, orphan, young):
        path.write_text("")
    for path in (half, orphan):
        os.utime(path, (0, 0))
    run(job, apply=True)
    assert not half.exists()
    assert not orphan.exists()
    assert young.exists()
    newest = lake.table(layout.IMPRESSIONS)
    assert len(newest.file_uris()) == 2, "a file a day"
    assert len(lake.table("gold/ctr_samples").file_uris()) == 6, "row groups are left to the workers"
    assert values(lake, layout.IMPRESSIONS, newest.version()) == {0, 3}
    assert values(lake, layout.IMPRESSIONS, 3) == {0, 2}, "the model's version"
    with pytest.raises(DataError, match=r"is gone \(vacuumed"):
        values(lake, layout.IMPRESSIONS, 2)
    assert lake.records(layout.IMPRESSIONS) == records, "what made each day"
    version = newest.version()
    run(job, apply=True)
    assert lake.version(layout.IMPRESSIONS) == version, "nothing is left to do"


def test_the_log_outlives_deltas_thirty_days(job: Job, spark: SparkSession) -> None:
    lake = job.lake
    run(job, apply=True)
    for version in range(4, 12):  # Delta makes a checkpoint at every tenth version, and then forgets what is old
        age(lake, days=40)
        write(spark, lake, layout.IMPRESSIONS, "2022-04-09", version, files=1)
    assert {record.provenance["n"] for _, record in lake.records(layout.IMPRESSIONS).values()} == {3, 11}


def test_a_model_that_does_not_say_what_it_needs_stops_upkeep(job: Job) -> None:
    storage.write_bytes(job.lake.uri("models", "b", "run.json"), b"{")
    with pytest.raises(DataError, match=r"models/b/run\.json is not JSON .* remove the folder"):
        run(job, apply=True)
    assert upkeep.survey(job.lake, layout.IMPRESSIONS, 1, WEEK, set()).unused == 6, "nothing was removed"
