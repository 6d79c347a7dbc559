"""Join a day's impressions, clicks and plays into labelled samples; set broken rows aside with the reason.

spark-submit jobs/label.py --conf conf/demo.yaml --lake lake/demo --days 2022-04-08..2022-04-16
"""

import sys
from collections.abc import Mapping
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
from ncs.lake.writer import replace_days
from ncs.samples.account import Account, balance
from ncs.samples.labels import Labelled, Logs, label_days

_LOGS = {"impressions": layout.IMPRESSIONS, "clicks": layout.CLICKS, "plays": layout.PLAYS}


def run(job: Job) -> None:
    """Label the job's days whose logs, or the next day's, have changed since they were last labelled."""
    done = job.lake.records(layout.SAMPLES)
    stale = {}
    for day in job.open_days:
        made_from = _made_from(job, day)
        if f"{layout.IMPRESSIONS}/{day}" not in made_from["inputs"]:
            raise DataError(f"{layout.IMPRESSIONS} has no day {day}; run `ncs ingest --days {day}` first")
        if str(day) not in done or done[str(day)][1].made_from != made_from:
            stale[day] = made_from
    rows = 0
    for days in job.progress(Days.runs(stale, job.conf.days_at_once), "label"):
        rows += sum(account.samples for account in _label(job, days, stale).values())
    job.say(
        f"label: {len(stale)} of {len(job.open_days)} days labelled, {rows:,} samples in {job.lake.uri(layout.SAMPLES)}"
    )


def _made_from(job: Job, day: date) -> dict[str, Any]:
    reach, one = job.conf.labels.days_after, Days(day, day)
    inputs = job.lake.inputs(layout.IMPRESSIONS, days=one.widened(before=2 * reach))
    inputs |= job.lake.inputs(layout.CLICKS, layout.PLAYS, days=one.widened(after=reach))
    inputs |= job.lake.inputs(layout.USERS, layout.VIDEOS)
    return {"conf": job.conf.digest("labels", "logs.timezone"), "inputs": inputs}


def _label(job: Job, days: Days, made_from: Mapping[date, dict[str, Any]]) -> dict[date, Account]:
    reach = job.conf.labels.days_after
    tables = {name: job.table_of(table) for name, table in _LOGS.items()}
    after = days.widened(after=reach)
    logs = Logs(
        impressions=_between(tables["impressions"], days.widened(before=2 * reach)),
        clicks=_between(tables["clicks"], after),
        plays=_between(tables["plays"], after),
        users=job.table_of(layout.USERS),
        videos=job.table_of(layout.VIDEOS),
    )
    labelled = label_days(logs, days, job.conf.labels, job.conf.logs.timezone)
    labelled = Labelled({log: rows.persist() for log, rows in labelled.outcomes.items()}, labelled.samples.persist())
    try:
        accounts = balance(labelled, _rows_by_day(tables, days), days)
        delivered = job.lake.inputs(layout.CLICKS, days=after)
        records = [
            Record("label", str(day), made_from[day], {**account.facts(), "provisional": _open(day, reach, delivered)})
            for day, account in accounts.items()
        ]
        # The samples' commit closes the days: killed before it, they are labelled again.
        replace_days(labelled.quarantine(), job.lake.uri(layout.QUARANTINE), records)
        replace_days(labelled.samples, job.lake.uri(layout.SAMPLES), records)
    finally:
        for frame in (*labelled.outcomes.values(), labelled.samples):
            frame.unpersist()
    return accounts


def _open(day: date, reach: int, delivered: Mapping[str, int]) -> bool:
    """Whether the window of a day's impressions reaches into a day whose clicks are not there yet."""
    return any(f"{layout.CLICKS}/{after}" not in delivered for after in Days(day, day).widened(after=reach))


def _rows_by_day(tables: Mapping[str, DataFrame], days: Days) -> dict[str, dict[date, int]]:
    counts = (_between(table, days).groupBy("day").count() for table in tables.values())
    return {name: dict(count.collect()) for name, count in zip(tables, counts, strict=True)}


def _between(rows: DataFrame, days: Days) -> DataFrame:
    return rows.where(F.col("day").between(days.first, days.last))


if __name__ == "__main__":
    sys.exit(main(["label", *sys.argv[1:]]))
