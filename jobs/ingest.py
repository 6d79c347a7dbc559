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
from pyspark.sql.types import StructType

from jobs.cli import main
from jobs.job import Job
from ncs.errors import DataError
from ncs.lake import layout
from ncs.lake.layout import ALL, Lake, Record
from ncs.lake.writer import replace_all, replace_day
from ncs.logs.files import reading
from ncs.logs.schemas import DAY_LOGS, PROFILES, fits, latest_rows
from ncs.logs.source import Source, open_source

TABLES = {
    "impressions": layout.IMPRESSIONS,
    "clicks": layout.CLICKS,
    "plays": layout.PLAYS,
    "users": layout.USERS,
    "videos": layout.VIDEOS,
}
Stale = dict[date | None, dict[str, Any]]
"""What has to be read: day (None: users and videos) -> log -> what its rows will be made from."""


def run(job: Job) -> None:
    """Ingest the logs whose files have changed. A day is checked whole before any of it is written."""
    source = open_source(job.conf, job.lake)
    rows: Counter[str] = Counter()
    stale = _find_stale(job, source)
    try:
        for day, logs in job.progress(stale.items(), "ingest"):
            rows.update(_ingest(job, source, day, logs))
    finally:
        source.close()
    new = ", ".join(f"{rows[log]:,} {log}" for log in TABLES if log in rows)
    days = len([day for day in stale if day])
    job.say(f"ingest: {days} of {len(job.days)} days read, {new or 'nothing new'}, in {job.lake.uri('bronze')}")


def _find_stale(job: Job, source: Source) -> Stale:
    """Raises DataError for a log of which there is no file, before anything is written."""
    conf = job.conf.digest("logs.adapter", "logs.timezone")
    done = {log: job.lake.records(table) for log, table in TABLES.items()}
    stale: Stale = {}
    wanted = [(log, day) for day in job.days for log in DAY_LOGS] + [(log, None) for log in PROFILES]
    for log, day in wanted:
        made_from = json.loads(json.dumps({"conf": conf, "files": source.fingerprint(log, day)}))
        key = str(day or ALL)
        if key not in done[log] or done[log][key][1].made_from != made_from:
            stale.setdefault(day, {})[log] = made_from
    return stale


def _ingest(job: Job, source: Source, day: date | None, logs: dict[str, Any]) -> dict[str, int]:
    """Read, check and count a day's logs (or users and videos), then write them. Returns the rows of each."""
    what = f"the logs of {day}" if day else "users and videos"
    frames: dict[str, DataFrame] = {}
    try:
        for log in logs:
            rows = source.read(job.spark, log, day)
            rows = _as_table(rows, job.lake, log, f"{log} of {day}") if day else latest_rows(rows, PROFILES[log])
            # Kept until they are written: the count reads every file to its end, so none breaks later.
            frames[log] = rows.persist()
        counts = _count(frames, what)
        if counts.get("impressions") == 0:
            raise DataError(
                f"impressions of {day}: the files hold no row of that day, among them "
                f"{next(iter(logs['impressions']['files']))}; deliver the day, or leave it out with --days"
            )
        for log, rows in frames.items():
            record = Record("ingest", str(day or ALL), logs[log], {"rows": counts[log]})
            (replace_day if day else replace_all)(rows, job.lake.uri(TABLES[log]), record)
    finally:
        for rows in frames.values():
            rows.unpersist()
    return counts


def _count(frames: dict[str, DataFrame], what: str) -> dict[str, int]:
    """Rows of each frame, all in one Spark job."""
    parts = [rows.select(F.lit(log).alias("log")) for log, rows in frames.items()]
    with reading(what):
        found = {row["log"]: row["count"] for row in reduce(DataFrame.union, parts).groupBy("log").count().collect()}
    return {log: found.get(log, 0) for log in frames}


def _as_table(rows: DataFrame, lake: Lake, log: str, what: str) -> DataFrame:
    """Rows with the column types that the table has; new columns stay as they are."""
    if not lake.has(TABLES[log]):
        return rows
    table = StructType.fromJson(json.loads(lake.table(TABLES[log]).schema().to_json()))
    types = {field.name: field.dataType for field in table}
    for name, found in [(field.name, field.dataType) for field in rows.schema if field.name in types]:
        if not fits(found, types[name]):
            raise DataError(
                f"{what}: column {name!r} is {found.simpleString()}, in {TABLES[log]} of earlier days it is "
                f"{types[name].simpleString()}; mend the log, or ingest all days into another --lake"
            )
    return rows.select(*[F.col(name).cast(types[name]) if name in types else name for name in rows.columns])


if __name__ == "__main__":
    sys.exit(main(["ingest", *sys.argv[1:]]))
