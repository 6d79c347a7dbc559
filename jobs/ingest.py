"""Bring raw logs into bronze tables: a day's impressions, clicks and plays, and all users and videos.

spark-submit jobs/ingest.py --conf conf/demo.yaml --lake lake/demo --days 2022-04-08..2022-04-16
"""

import json
import sys
from collections import Counter
from datetime import date
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructType

from jobs.cli import main
from jobs.job import Job
from ncs.days import Days
from ncs.errors import DataError
from ncs.lake import layout
from ncs.lake.layout import ALL, Lake, Record
from ncs.lake.writer import replace_all, replace_days
from ncs.logs.files import reading
from ncs.logs.schemas import DAY_LOGS, PROFILES, as_types, latest_rows
from ncs.logs.source import Source, open_source

TABLES = {
    "impressions": layout.IMPRESSIONS,
    "clicks": layout.CLICKS,
    "plays": layout.PLAYS,
    "users": layout.USERS,
    "videos": layout.VIDEOS,
}
Stale = dict[str, dict[date | None, dict[str, Any]]]
"""What has to be read: log -> day (None for users and videos) -> what its rows will be made from."""


def run(job: Job) -> None:
    """Ingest the logs whose files have changed. Days are checked whole before any of them is written."""
    source = open_source(job.conf, job.lake)
    stale = _find_stale(job, source)
    days = {day for log in DAY_LOGS for day in stale[log] if day}
    rows: Counter[str] = Counter()
    try:
        for run in job.progress(Days.runs(days, job.conf.days_at_once), "ingest"):
            rows.update(_ingest(job, source, {log: _of(stale[log], run) for log in DAY_LOGS}, f"the logs of {run}"))
        rows.update(_ingest(job, source, {log: stale[log] for log in PROFILES}, "users and videos"))
    finally:
        source.close()
    new = ", ".join(f"{rows[log]:,} {log}" for log in TABLES if log in rows)
    job.say(f"ingest: {len(days)} of {len(job.days)} days read, {new or 'nothing new'}, in {job.lake.uri('bronze')}")


def _find_stale(job: Job, source: Source) -> Stale:
    """Raises DataError for a log of which there is no file, before anything is written."""
    conf = job.conf.digest("logs.adapter", "logs.timezone")
    stale: Stale = {log: {} for log in TABLES}
    for log, table in TABLES.items():
        done = job.lake.records(table)
        for day in job.days if log in DAY_LOGS else [None]:
            made_from = json.loads(json.dumps({"conf": conf, "files": source.fingerprint(log, day)}))
            key = str(day or ALL)
            if key not in done or done[key][1].made_from != made_from:
                stale[log][day] = made_from
    return stale


def _of(stale: dict[date | None, dict[str, Any]], days: Days) -> dict[date | None, dict[str, Any]]:
    return {day: made_from for day, made_from in stale.items() if day and day in days}


def _ingest(job: Job, source: Source, logs: Stale, what: str) -> dict[str, int]:
    """Read, check and count some logs, then write each in one commit. Returns the rows of each."""
    frames: dict[str, DataFrame] = {}
    try:
        for log, days in logs.items():
            if days:
                # Kept until they are written: the count reads every file to its end, so none breaks later.
                frames[log] = _read(job, source, log, [day for day in days if day]).persist()
        counts = _count(frames, what) if frames else {}
        _refuse_empty_days(logs, counts)
        for log, rows in frames.items():
            records = [
                Record("ingest", str(day or ALL), made_from, {"rows": counts[log].get(day, 0)})
                for day, made_from in logs[log].items()
            ]
            if log in PROFILES:
                replace_all(rows, job.lake.uri(TABLES[log]), records[0])
            else:
                replace_days(rows, job.lake.uri(TABLES[log]), records)
    finally:
        for rows in frames.values():
            rows.unpersist()
    return {log: sum(found.values()) for log, found in counts.items()}


def _read(job: Job, source: Source, log: str, days: list[date]) -> DataFrame:
    rows = source.read(job.spark, log, days)
    if log in PROFILES:
        return latest_rows(rows, PROFILES[log])
    what = f"{log} of {Days(days[0], days[-1])}"
    return as_types(rows, _types(job.lake, TABLES[log]), what, f"{TABLES[log]} of earlier days")


def _count(frames: dict[str, DataFrame], what: str) -> dict[str, dict[date | None, int]]:
    """Rows of each frame by day, all in one Spark job."""
    no_day = F.lit(None).cast("date")
    parts = [
        rows.select(F.lit(log), no_day if log in PROFILES else F.col("day").alias("day"))
        for log, rows in frames.items()
    ]
    rows = reduce(DataFrame.union, parts).toDF("log", "day")
    counts: dict[str, dict[date | None, int]] = {log: {} for log in frames}
    with reading(what):
        for log, day, count in rows.groupBy("log", "day").count().collect():
            counts[log][day] = count
    return counts


def _refuse_empty_days(logs: Stale, counts: dict[str, dict[date | None, int]]) -> None:
    for day, made_from in logs.get("impressions", {}).items():
        if not counts["impressions"].get(day):
            raise DataError(
                f"impressions of {day}: the files hold no row of that day, among them "
                f"{next(iter(made_from['files']))}; deliver the day, or leave it out with --days"
            )


def _types(lake: Lake, table: str) -> dict[str, DataType]:
    """The column types that a table has, if it is there."""
    if not lake.has(table):
        return {}
    schema = StructType.fromJson(json.loads(lake.table(table).schema().to_json()))
    return {field.name: field.dataType for field in schema}


if __name__ == "__main__":
    sys.exit(main(["ingest", *sys.argv[1:]]))
