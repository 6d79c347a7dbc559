"""Logs into bronze: what is written, what is skipped, what a bad day leaves behind."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.job import Job
from jobs.pipeline.ingest import TABLES, run
from ncs import config
from ncs.config import Config
from ncs.days import Days
from ncs.errors import DataError, GateError
from ncs.lake.layout import ALL, Lake
from ncs.logs.schemas import DAY_LOGS

DAYS = Days.parse("2022-04-08..2022-04-09")
IMPRESSIONS = "impression_id,user_id,video_id,ts,scene\n"


def put(root: Path, log: str, day: date | None, text: str, name: str = "a.csv") -> Path:
    path = root / log / (f"day={day}" if day else "") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    root = tmp_path / "logs"
    for day in DAYS:
        put(
            root,
            "impressions",
            day,
            f"{IMPRESSIONS}{day}-1,1,10,{day} 09:00:00,feed\n{day}-2,2,11,{day} 10:00:00,tab\n",
        )
        put(root, "clicks", day, f"impression_id,ts\n{day}-1,{day} 09:00:05\n")
        put(root, "plays", day, f"impression_id,ts,watched_seconds\n{day}-1,{day} 09:00:06,4.5\n")
    put(root, "users", None, "user_id,age_group,updated_at\n1,old,2022-04-01\n1,young,2022-04-02\n2,,\n")
    put(root, "videos", None, "video_id,length_seconds,category\n10,9,music\n11,,film\n")
    return root


@pytest.fixture
def make_job(load_conf: Callable[..., Config], lake: Lake, logs: Path, spark: SparkSession) -> Callable[..., Job]:
    def make(days: Days = DAYS) -> Job:
        return Job(load_conf("spark.sql.shuffle.partitions=2", f"logs.source={logs}"), lake, days, quiet=True)

    return make


def rows(spark: SparkSession, lake: Lake, log: str) -> DataFrame:
    return spark.read.format("delta").load(lake.uri(TABLES[log]))


def versions(lake: Lake) -> dict[str, int]:
    return {log: lake.version(table) for log, table in TABLES.items() if lake.has(table)}


def test_ingest_again_changed_and_bad(
    spark: SparkSession, lake: Lake, logs: Path, make_job: Callable[..., Job]
) -> None:
    first, second = DAYS
    run(make_job())
    assert sorted(
        tuple(row)
        for row in rows(spark, lake, "impressions").select("impression_id", "user_id", "scene", "day").collect()
    ) == [(f"{day}-{n}", n, scene, day) for day in DAYS for n, scene in ((1, "feed"), (2, "tab"))]
    plays = rows(spark, lake, "plays").select("impression_id", "watched_seconds").collect()
    assert sorted(tuple(row) for row in plays) == [(f"{day}-1", 4.5) for day in DAYS]
    users = rows(spark, lake, "users")
    assert users.columns == ["user_id", "age_group", "updated_at"]
    found = [(row.user_id, row.age_group) for row in users.orderBy("user_id", "updated_at").collect()]
    assert found == [(1, "old"), (1, "young"), (2, None)]
    record = lake.records(TABLES["clicks"])[str(first)][1]
    assert (record.stage, record.facts) == ("ingest", {"rows": 1})
    assert list(record.provenance["files"]) == [f"clicks/day={first}/a.csv"]
    assert lake.records(TABLES["videos"])[ALL][1].facts == {"rows": 2}

    # Nothing has changed: no table gets a new version.
    before = versions(lake)
    assert before == dict.fromkeys(TABLES, 1), "both days in one commit, after the table's creation"
    run(make_job())
    assert versions(lake) == before

    # One file has: its log and day alone are read again.
    put(logs, "clicks", second, f"impression_id,ts\n{second}-1,{second} 09:00:05\n{second}-2,{second} 10:01:00\n")
    run(make_job())
    assert versions(lake) == {**before, "clicks": 2}
    assert sorted(row.impression_id for row in rows(spark, lake, "clicks").collect()) == [
        f"{first}-1",
        f"{second}-1",
        f"{second}-2",
    ]

    # A bad log of a day blocks its good ones too, and no other day.
    before = versions(lake)
    put(logs, "clicks", second, f"impression_id,ts\n{second}-1,{second} 09:00:07\n")
    put(logs, "plays", second, f"impression_id,ts,watched_seconds\n{second}-1,{second} 09:00:06,long\n")
    broken = make_job()
    run(broken)
    assert list(broken.blocked) == [second]
    found = re.search(
        rf"plays of {second}, .*a\.csv: column 'watched_seconds' has 1 .*as 'long'", broken.blocked[second]
    )
    assert found, broken.blocked
    with pytest.raises(GateError, match=f"{second} blocked, the other day is done"):
        broken.check_blocked()
    assert versions(lake) == before
    put(logs, "plays", second, f"impression_id,ts,watched_seconds\n{second}-1,{second} 09:00:06,4.5\n")
    put(logs, "impressions", second, IMPRESSIONS)
    with pytest.raises(GateError, match=rf"impressions of {second}: the files hold no row"):
        run(make_job(Days(second, second)))  # no other day that could go on
    assert versions(lake) == before

    # A new column flows through, one of another type is refused.
    put(logs, "impressions", second, f"{IMPRESSIONS.strip()},network\n{second}-1,1,10,{second} 09:00:00,feed,4g\n")
    run(make_job())
    found = rows(spark, lake, "impressions").select("impression_id", "network").collect()
    assert sorted(tuple(row) for row in found) == [(f"{first}-1", None), (f"{first}-2", None), (f"{second}-1", "4g")]
    before = versions(lake)
    (logs / "impressions" / f"day={second}" / "a.csv").unlink()
    table = {"impression_id": ["x"], "user_id": [1], "video_id": [2], "scene": [7], "network": ["4g"]}
    times = pa.array([1649500000000000], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({**table, "ts": times}), logs / "impressions" / f"day={second}" / "a.parquet")
    with pytest.raises(GateError, match=rf"impressions of {second}: column 'scene' is bigint, in .* it is string"):
        run(make_job(Days(second, second)))
    assert versions(lake) == before


def test_names_that_clash_between_logs_are_found_before_anything_is_written(
    lake: Lake, logs: Path, make_job: Callable[..., Job], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = DAYS
    header, rows = IMPRESSIONS.replace("scene", "Category"), (logs / f"impressions/day={first}/a.csv").read_text()
    for day in DAYS:
        put(logs, "impressions", day, header + rows.partition("\n")[2])
    put(logs, "plays", date(2022, 4, 7), "", "day=2022-4-9")
    job = replace(make_job(), quiet=False)
    with pytest.raises(GateError, match=r"impressions of .*'Category' stands in videos too as 'category'.*rename it"):
        run(job)
    assert versions(lake) == {}
    # The good day goes on alone; the other does when its column is renamed.
    put(logs, "impressions", first, rows)
    job = make_job()
    run(job)
    assert list(job.blocked) == [second]
    put(logs, "impressions", second, rows.replace(str(first), str(second)))
    job = make_job()
    run(job)
    assert not job.blocked
    assert lake.rows_by_day(TABLES["impressions"]) == {str(first): 2, str(second): 2}
    # What impressions have had, no other log can bring.
    put(logs, "users", None, "user_id,Scene\n1,x\n")
    before = versions(lake)
    with pytest.raises(DataError, match="users: column 'Scene' stands in impressions too as 'scene'"):
        run(make_job())
    assert versions(lake) == before


def test_a_column_of_the_profiles_that_changes_is_told(
    spark: SparkSession, lake: Lake, logs: Path, make_job: Callable[..., Job], capsys: pytest.CaptureFixture[str]
) -> None:
    run(make_job())
    put(logs, "videos", None, "video_id,length_seconds\n10,9\n")
    job = replace(make_job(), quiet=False)
    with pytest.raises(DataError, match="videos: column 'category' is gone, which is among fields; deliver it again"):
        run(job)
    put(logs, "videos", None, "video_id,length_seconds,category\n10,9,7\n")
    run(job)
    assert "videos: column 'category' is bigint now, it was string" in capsys.readouterr().err
    put(logs, "videos", None, "video_id,length_seconds,category\n10,9,film\n")
    put(logs, "users", None, "user_id,city\n1,Oslo\n")
    fields = {name: field for name, field in job.conf.model_dump()["fields"].items() if name != "age_group"}
    run(replace(job, conf=job.conf.with_keys({"fields": fields})))
    assert "users: column 'age_group' is gone, it is null there" in capsys.readouterr().err
    assert [tuple(row) for row in rows(spark, lake, "users").collect()] == [(1, None, None, "Oslo")]


def test_logs_that_are_missing_stop_before_anything_is_written(
    lake: Lake, logs: Path, make_job: Callable[..., Job]
) -> None:
    absent = Days.parse("2022-04-10..2022-04-11")
    with pytest.raises(GateError, match=r"impressions of 2022-04-11: no folder .* from 2022-04-08 to 2022-04-09"):
        run(make_job(absent))
    (logs / "videos" / "a.csv").unlink()
    with pytest.raises(DataError, match=r"videos: no file in .*videos"):
        run(make_job())
    assert versions(lake) == {}


def test_parquet_that_is_damaged_inside_leaves_no_half_day(
    lake: Lake, logs: Path, make_job: Callable[..., Job]
) -> None:
    path = put(logs, "plays", DAYS.first, "").with_name("a.parquet")
    path.with_name("a.csv").unlink()
    count = 20_000
    columns = {"impression_id": [f"{n * 7919}" for n in range(count)], "watched_seconds": [n / 7 for n in range(count)]}
    times = pa.array(range(count), pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({**columns, "ts": times}), path)
    content = bytearray(path.read_bytes())
    content[100 : len(content) // 2] = bytes(len(content) // 2 - 100)
    path.write_bytes(content)
    with pytest.raises(GateError, match=r"the logs of 2022-04-08, .*a\.parquet: the file is broken or cut short"):
        run(make_job(Days(DAYS.first, DAYS.first)))
    assert set(versions(lake)) == {"users", "videos"}


def test_kuairand_slice_is_ingested(spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent.parent.parent)  # the configuration's source is relative
    conf = config.load("tests/data/kuairand/slice.yaml", ["spark.master=local[2]", "spark.sql.shuffle.partitions=2"])
    day = Days.parse("2022-04-12")
    run(Job(conf, lake, day, quiet=True))
    facts = {log: lake.records(TABLES[log])[str(day)][1].facts["rows"] for log in DAY_LOGS}
    assert facts == {"impressions": 298, "clicks": 228, "plays": 294}
    assert rows(spark, lake, "videos").count() == 56
