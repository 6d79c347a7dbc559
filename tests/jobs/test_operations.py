"""What an operator meets: a day without clicks, rows to replay, a new column; from files to gold."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.job import Job
from jobs.pipeline import encode, ingest, label, quarantine
from ncs.config import Config
from ncs.days import Days
from ncs.errors import DataError
from ncs.lake import layout
from ncs.lake.layout import Lake
from ncs.lake.quarantine import reasons
from tests.jobs.test_ingest import put

DAYS = Days.parse("2022-04-08..2022-04-10")
FIRST, SECOND, THIRD = DAYS
FIELDS = "user_id: {side: user, encode: vocabulary}, video_id: {side: video, encode: vocabulary}"
NETWORK = "network: {side: context, encode: vocabulary}"


@pytest.fixture
def make_job(load_conf: Callable[..., Config], lake: Lake, tmp_path: Path, spark: SparkSession) -> Callable[..., Job]:
    """Three days of two impressions; the second day's logs have a network, the third day has no click of its own."""
    root = tmp_path / "logs"
    for day in DAYS:
        network = ",network" if day == SECOND else ""
        rows = [f"{day}-{n},{n},1{n},{day} 09:0{n}:00" + (f",{n}g" if day == SECOND else "") + "\n" for n in (1, 2)]
        put(root, "impressions", day, f"impression_id,user_id,video_id,ts{network}\n{''.join(rows)}")
        clicked = "lost" if day == THIRD else f"{day}-1"
        put(root, "clicks", day, f"impression_id,ts\n{clicked},{day} 11:01:00\n")
        put(
            root,
            "plays",
            day,
            f"impression_id,ts,watched_seconds\n{clicked},{day} 09:01:06,4.5\n{day}-2,{day} 10:00:00,-1\n",
        )
    put(root, "users", None, "user_id\n1\n2\n")
    put(root, "videos", None, "video_id,length_seconds\n11,9\n12,9\n")

    def make(*more: str, days: Days = DAYS) -> Job:
        settings = ["spark.sql.shuffle.partitions=2", f"logs.source={root}", f"logs.days={FIRST}..{SECOND}"]
        settings += ["split.test_days=0", f"fields={{{FIELDS}}}", *more]
        return Job(load_conf(*settings), lake, days, quiet=True)

    return make


def test_from_files_to_gold(
    spark: SparkSession, lake: Lake, make_job: Callable[..., Job], capsys: pytest.CaptureFixture[str]
) -> None:
    job = make_job()
    ingest.run(job)
    with pytest.raises(DataError, match="is not in the lake"):
        quarantine.run(job)
    label.run(job)
    assert list(job.blocked) == [THIRD]
    assert "no click of bronze/clicks belongs to one of its impressions" in job.blocked[THIRD]
    assert sorted(lake.records(layout.SAMPLES)) == [str(FIRST), str(SECOND)]
    provisional = {day: record.facts["provisional"] for day, (_, record) in lake.records(layout.SAMPLES).items()}
    assert provisional == {str(FIRST): False, str(SECOND): True}, "the third day's events may come a day late"

    quarantine.run(make_job())
    shown = capsys.readouterr().out
    assert f"{FIRST}  plays  bad_watch  1" in shown
    assert '"watched_seconds":-1.0' in shown
    assert reasons(lake, DAYS, log="clicks") == []

    # Replaying judges again what bronze holds, of the named day alone.
    before = {day: version for day, (version, _) in lake.records(layout.SAMPLES).items()}
    quarantine.run(make_job(days=Days(FIRST, FIRST)), "replay", log="plays", reason="bad_watch")
    after = {day: version for day, (version, _) in lake.records(layout.SAMPLES).items()}
    assert after[str(FIRST)] > before[str(FIRST)]
    assert after[str(SECOND)] == before[str(SECOND)]
    assert [(one.day, one.rows) for one in reasons(lake, DAYS)] == [(str(FIRST), 1), (str(SECOND), 1)]

    # A column that came with the second day's logs becomes a feature by being named.
    encode.run(make_job(f"fields={{{FIELDS}, {NETWORK}}}", days=Days(FIRST, SECOND)))
    rows = spark.read.format("delta").load(lake.uri("gold/ctr_samples")).collect()
    assert {row.impression_id: row.network for row in rows} == {
        f"{FIRST}-1": 0,
        f"{FIRST}-2": 0,
        f"{SECOND}-1": 1,
        f"{SECOND}-2": 2,
    }


def test_late_events_label_their_day_again(
    spark: SparkSession, lake: Lake, make_job: Callable[..., Job], capfd: pytest.CaptureFixture[str]
) -> None:
    """A play and a click of the second day that the third day's folder brings; one of them twice."""
    job = make_job(days=Days(FIRST, SECOND))
    ingest.run(job)
    label.run(job)
    root = Path(str(job.conf.logs.source))
    put(root, "clicks", THIRD, f"impression_id,ts\n{THIRD}-1,{THIRD} 09:02:00\n{SECOND}-2,{SECOND} 09:03:00\n")
    late = f"{SECOND}-2,{SECOND} 09:03:30,4.5\n" * 2
    put(root, "plays", THIRD, f"impression_id,ts,watched_seconds\n{late}{SECOND}-1,{SECOND} 09:01:06,4.5\n")
    today = replace(make_job(days=Days(THIRD, THIRD)), quiet=False)
    ingest.run(today)
    today.days = label.with_reopened(today)
    assert str(today.days) == str(DAYS), "the first day's windows reach into the second, of which events have come"
    label.run(today)
    assert not today.blocked
    assert "label: plays of 2022-04-08..2022-04-10, 7 rows: 3 kept, 2 quarantined (bad_watch 2), 2 duplicates" in (
        capfd.readouterr().err
    )
    rows = {row.impression_id: row for row in spark.read.format("delta").load(lake.uri(layout.SAMPLES)).collect()}
    assert (rows[f"{SECOND}-2"].clicked, rows[f"{SECOND}-2"].cvr) == (1, 0.5)
    assert rows[f"{SECOND}-1"].watched_seconds == 4.5
    for _, record in lake.records(layout.SAMPLES).values():
        for log in record.facts["logs"].values():
            assert log["rows"] == log["kept"] + log["duplicates"] + sum(log["quarantined"].values())
    before = lake.version(layout.SAMPLES)
    label.run(replace(today, days=DAYS))
    assert lake.version(layout.SAMPLES) == before, "nothing is stale"
