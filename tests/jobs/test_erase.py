"""Users are erased from every table, stay away when their logs come again, and make no day stale."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.cli import main
from jobs.job import Job
from jobs.pipeline import encode, erase, ingest, label
from jobs.pipeline.status import status
from ncs.config import Config
from ncs.days import Days
from ncs.errors import ConfigError, DataError
from ncs.lake import layout, storage, upkeep
from ncs.lake.erasure import models_with_erased_users
from ncs.lake.layout import Lake
from ncs.logs.pseudonyms import pseudonym
from tests.factories import ROOT
from tests.jobs.test_ingest import put

DAYS = Days.parse("2022-04-08..2022-04-09")
FIELDS = "fields={user_id: {side: user, encode: vocabulary}, video_id: {side: video, encode: vocabulary}}"
KEY = "a key of more than sixteen bytes"
TABLES = (*ingest.TABLES.values(), layout.SAMPLES, layout.QUARANTINE, layout.VOCABULARY, "gold/ctr_samples")
TABLES += (layout.DAILY_STATISTICS,)
STATISTICS = "statistics=[{by: [user_id], of: [clicked]}, {by: [video_id, user_id], of: [clicked]}]"


def deliver(root: Path) -> None:
    """Users 1 to 3 see a video on each day and click; late on the first day user 3's click comes on the second.

    A play of each is set aside, and an impression of user 3 that names no video.
    """
    for n, day in enumerate(DAYS):
        shown = [f"{day}-{user},{user},10,{day} 23:0{user}:00\n" for user in (1, 2, 3)]
        put(root, "impressions", day, f"impression_id,user_id,video_id,ts\n{''.join(shown)}{day}-x,3,,{day} 23:09:00\n")
        events = [f"{day}-1,{day} 23:30:00", f"{day}-2,{day} 23:30:00"]
        events += [f"{DAYS.first}-3,{day} 00:10:00"] if n else []
        put(root, "clicks", day, "impression_id,ts\n" + "".join(f"{event}\n" for event in events))
        plays = [f"{event},{seconds}\n" for event in events for seconds in (4.5, -1)]
        put(root, "plays", day, "impression_id,ts,watched_seconds\n" + "".join(plays))
    put(root, "users", None, "user_id\n1\n2\n3\n")
    put(root, "videos", None, "video_id,length_seconds\n10,9\n")


@pytest.fixture
def job(
    spark: SparkSession, lake: Lake, tmp_path: Path, load_conf: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> Job:
    """Two days from logs to gold under pseudonyms, and a model that was trained on them."""
    monkeypatch.setenv("NCS_KEY", KEY)
    deliver(tmp_path / "logs")
    settings = ["spark.sql.shuffle.partitions=2", f"logs.source={tmp_path}/logs", f"logs.days={DAYS}", FIELDS]
    job = Job(load_conf(*settings, "privacy.key=env:NCS_KEY", "split.test_days=0", STATISTICS), lake, DAYS, quiet=True)
    prepare(job)
    versions = {name: lake.version(name) for name in (layout.VOCABULARY, "gold/ctr_samples")}
    storage.write_json(lake.uri("models", "run-1", "run.json"), {"lineage": {"tables": versions}})
    return job


def prepare(job: Job) -> None:
    for stage in (ingest, label, encode):
        stage.run(replace(job))


def rows(job: Job) -> dict[str, int]:
    return {table: job.read(table).count() for table in TABLES}


def erase_users(job: Job, *users: int) -> None:
    erase.run(job, user_ids=tuple(map(str, users)))


@pytest.mark.slow
def test_a_user_is_erased_everywhere_and_stays_away(
    job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, lake = rows(job), job.lake
    served = lake.uri("models", "run-1", "layer_share", "serving", "mlflow", "MLmodel")
    storage.write_bytes(served, b"flavors: {}")
    erase_users(job, 3, 77)
    shown = capsys.readouterr().out
    assert "MLflow models with their ids, removed: " in shown
    assert not storage.exists(served), "its vocabulary holds the user's id"
    assert "user 77 has no rows in the lake: the id is unknown" in shown
    assert "models that were trained on rows of theirs: run-1" in shown
    lost = {table: before[table] - count for table, count in rows(job).items()}
    # Of quarantine: a play and an impression of each day, of which the last day's plays are none of user 3's.
    assert lost == {
        layout.IMPRESSIONS: 4,
        layout.CLICKS: 1,
        layout.PLAYS: 2,
        layout.USERS: 1,
        layout.VIDEOS: 0,
        layout.SAMPLES: 2,
        layout.QUARANTINE: 3,
        layout.VOCABULARY: 1,
        layout.DAILY_STATISTICS: 2,
        "gold/ctr_samples": 2,
    }
    for table in (layout.IMPRESSIONS, layout.USERS, layout.SAMPLES):
        ids = {row.user_id for row in job.read(table).select("user_id").collect()}
        assert ids == {pseudonym(KEY.encode(), user) for user in (1, 2)}
    assert not job.read(layout.QUARANTINE).where(f"row LIKE '%{pseudonym(KEY.encode(), 3)}%'").count()

    found = status(job)
    assert [part.stale for part in found] == [[]] * len(found), "what is left is as it would be without the user"
    assert {part.gate for part in found if part.table == layout.SAMPLES} == {"not checked"}
    assert models_with_erased_users(lake) == {"run-1"}
    assert upkeep.pinned_versions(lake) == {}, "no version is kept that holds the user's rows"
    commits = lake.commits(layout.SAMPLES)
    assert all(commit.rows_version > commit.version for commit in commits.values())

    # Again: nothing is left to do, and no table is written.
    versions = {table: lake.version(table) for table in TABLES}
    erase_users(job, 3)
    shown = capsys.readouterr().out
    assert "user 3 has no rows in the lake, erased before" in shown
    assert "0 rows removed" in shown
    assert {table: lake.version(table) for table in TABLES} == versions
    assert len(storage.files(lake.uri("erasures"))) == 1

    # The same logs delivered again bring neither the user nor the user's events.
    after = rows(job)
    (tmp_path / "logs").rename(tmp_path / "old")
    deliver(tmp_path / "logs")
    for day in DAYS:
        path = tmp_path / "logs" / "clicks" / f"day={day}" / "a.csv"
        path.write_text(path.read_text() + f"{day}-1,{day} 23:31:00\n")
    prepare(job)
    assert rows(job) == {**after, layout.CLICKS: after[layout.CLICKS] + 2}


def test_what_is_no_user_id_is_a_usage_error(written: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = written
    ids = tmp_path / "ids.txt"
    for text in ("3\n\nmary\n", "1e3\n", f"{2**63}\n"):
        ids.write_text(text)
        with pytest.raises(ConfigError, match=r"ids\.txt, line \d: '.*' is no user id"):
            erase.run(job, ids_file=str(ids))
    ids.write_bytes(b"\xff\n")
    with pytest.raises(ConfigError, match=r"ids\.txt, line 1: not UTF-8, byte 0xff"):
        erase.run(job, ids_file=str(ids))
    os.mkfifo(tmp_path / "pipe")
    for place in (str(tmp_path / "pipe"), "/dev/zero"):  # neither ends
        with pytest.raises(ConfigError, match=rf"no file of user ids can be read at {place} \(it is no regular file\)"):
            erase.run(job, ids_file=place)
    with pytest.raises(ConfigError, match="none was given"):
        erase.run(job)
    monkeypatch.setenv("NCS_KEY", KEY)
    other = replace(job, conf=job.conf.with_keys({"privacy.key": "env:NCS_KEY"}))
    with pytest.raises(DataError, match="its user ids were made with another key"):
        erase.run(other, user_ids=("3",))
    storage.write_json(job.lake.uri("erasures", "a.json"), [3])
    with pytest.raises(DataError, match=r"erasures/a\.json does not say which users were erased"):
        erase_users(job, 3)


def test_there_must_be_a_lake(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["erase", "--conf", str(ROOT / "conf" / "demo.yaml"), "--lake", lake.root, "--user-id", "3"]
    assert main(command) == 1
    assert "there is no lake at" in capsys.readouterr().err
