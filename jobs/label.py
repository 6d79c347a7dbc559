"""Join a day's impressions, clicks and plays into labelled samples; set broken rows aside with the reason.

spark-submit jobs/label.py --conf conf/demo.yaml --lake lake/demo --days 2022-04-08..2022-04-16
"""

import sys
from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.cli import main
from jobs.job import Job
from ncs.days import Days
from ncs.errors import DataError
from ncs.lake import layout
from ncs.lake.layout import Record
from ncs.lake.writer import replace_day
from ncs.samples.account import Account, balance
from ncs.samples.labels import Labelled, Logs, label_day

_LOGS = {"impressions": layout.IMPRESSIONS, "clicks": layout.CLICKS, "plays": layout.PLAYS}


def run(job: Job) -> None:
    """Label the job's days whose logs, or the next day's, have changed since they were last labelled."""
    done = job.lake.records(layout.SAMPLES)
    stale = []
    for day in job.days:
        made_from = _made_from(job, day)
        if f"{layout.IMPRESSIONS}/{day}" not in made_from["inputs"]:
            raise DataError(f"{layout.IMPRESSIONS} has no day {day}; run `ncs ingest --days {day}` first")
        if str(day) not in done or done[str(day)][1].made_from != made_from:
            stale.append((day, made_from))
    rows = 0
    for day, made_from in job.progress(stale, "label"):
        rows += _label(job, day, made_from).samples
    job.say(f"label: {len(stale)} of {len(job.days)} days labelled, {rows:,} samples in {job.lake.uri(layout.SAMPLES)}")


def _around(job: Job, day: date) -> tuple[Days, Days]:
    """The days whose impressions, and whose events, have to do with a day."""
    reach = job.conf.labels.days_after
    return Days(day, day).widened(before=reach), Days(day, day).widened(after=reach)


def _made_from(job: Job, day: date) -> dict[str, Any]:
    shown, events = _around(job, day)
    inputs = job.lake.inputs(layout.IMPRESSIONS, days=shown)
    inputs |= job.lake.inputs(layout.CLICKS, layout.PLAYS, days=events)
    inputs |= job.lake.inputs(layout.USERS, layout.VIDEOS)
    return {"conf": job.conf.digest("labels", "logs.timezone"), "inputs": inputs}


def _label(job: Job, day: date, made_from: dict[str, Any]) -> Account:
    shown, events = _around(job, day)
    read = job.spark.read.format("delta")
    tables = {name: read.load(job.lake.uri(table)) for name, table in _LOGS.items()}
    logs = Logs(
        impressions=_between(tables["impressions"], shown),
        clicks=_between(tables["clicks"], events),
        plays=_between(tables["plays"], events),
        users=read.load(job.lake.uri(layout.USERS)),
        videos=read.load(job.lake.uri(layout.VIDEOS)),
    )
    labelled = label_day(logs, day, job.conf.labels, job.conf.logs.timezone)
    labelled = Labelled({log: rows.persist() for log, rows in labelled.outcomes.items()}, labelled.samples.persist())
    try:
        rows = {name: table.where(F.col("day") == day).count() for name, table in tables.items()}
        account = balance(labelled, rows, day)
        provisional = f"{layout.CLICKS}/{events.last}" not in job.lake.inputs(layout.CLICKS, days=events)
        record = Record("label", str(day), made_from, {**account.facts(), "provisional": provisional})
        # The samples' commit closes the day: killed before it, the day is labelled again.
        replace_day(labelled.quarantine(), job.lake.uri(layout.QUARANTINE), record)
        replace_day(labelled.samples, job.lake.uri(layout.SAMPLES), record)
    finally:
        for frame in (*labelled.outcomes.values(), labelled.samples):
            frame.unpersist()
    return account


def _between(rows: DataFrame, days: Days) -> DataFrame:
    return rows.where(F.col("day").between(days.first, days.last))


if __name__ == "__main__":
    sys.exit(main(["label", *sys.argv[1:]]))
