"""Join a day's impressions, clicks and plays into labelled samples; set broken rows aside with the reason.

spark-submit jobs/label.py --conf conf/demo.yaml --lake lake/demo --days 2022-04-08..2022-04-16
"""

import sys
from collections.abc import Collection, Mapping
from datetime import date
from functools import partial
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.cli import main
from jobs.job import ROUNDS, Job
from ncs.days import Days
from ncs.errors import DataError
from ncs.features.profile import profile_days
from ncs.labels.join import Logs, label_days
from ncs.labels.reconciliation import Reconciliation, reconcile
from ncs.lake import layout
from ncs.lake.layout import Record
from ncs.lake.writer import replace_days

_LOGS = {"impressions": layout.IMPRESSIONS, "clicks": layout.CLICKS, "plays": layout.PLAYS}


def run(job: Job, again: Collection[date] = ()) -> None:
    """Label the job's days whose logs, or the next day's, have changed since they were last labelled; `again` anyway.

    A day without anything to learn from is blocked alone. Raises DataError if no day has.
    """
    days = rows = 0
    for _ in range(ROUNDS):
        stale = _find_stale(job, again)
        if not stale:
            break
        for reconciled_days in job.each(partial(_label, job, stale=stale), stale, "label"):
            days, rows = (
                days + len(reconciled_days),
                rows + sum(reconciled.samples for reconciled in reconciled_days.values()),
            )
        again = ()
    job.say(f"label: {days} of {len(job.open_days)} days labelled, {rows:,} samples in {job.lake.uri(layout.SAMPLES)}")


def _find_stale(job: Job, again: Collection[date]) -> dict[date, dict[str, Any]]:
    done = job.lake.records(layout.SAMPLES)
    stale = {}
    for day in job.open_days:
        wanted = provenance(job, day)
        if f"{layout.IMPRESSIONS}/{day}" not in wanted["inputs"]:
            raise DataError(f"{layout.IMPRESSIONS} has no day {day}; run `ncs ingest --days {day}` first")
        changed = job.lake.changed_by_others(str(day), layout.QUARANTINE)
        if day in again or changed or str(day) not in done or done[str(day)][1].provenance != wanted:
            stale[day] = wanted
    return stale


def with_reopened(job: Job) -> Days:
    """The job's days and those close by that are labelled and that the logs of these days change.

    So yesterday is labelled again, and final, once today's clicks are there. A gap of days without labels ends it.
    """
    reach, done = job.conf.labels.days_after, job.lake.records(layout.SAMPLES)
    around = job.days.widened(before=reach, after=2 * reach)
    known = Days.runs([day for day in around if day in job.days or str(day) in done], len(around))
    (run,) = [run for run in known if job.days.first in run]
    changed = [day for day in run if day not in job.days and done[str(day)][1].provenance != provenance(job, day)]
    return Days(min([job.days.first, *changed]), max([job.days.last, *changed]))


def provenance(job: Job, day: date) -> dict[str, Any]:
    """What a day's samples would be made from now."""
    reach, one = job.conf.labels.days_after, Days(day, day)
    inputs = job.lake.inputs(layout.IMPRESSIONS, days=one.widened(before=2 * reach))
    inputs |= job.lake.inputs(layout.CLICKS, layout.PLAYS, days=one.widened(after=reach))
    inputs |= job.lake.inputs(layout.USERS, layout.VIDEOS)
    return {"conf": job.conf.digest("labels", "logs.timezone"), "inputs": inputs}


def _label(job: Job, days: Days, stale: Mapping[date, dict[str, Any]]) -> dict[date, Reconciliation]:
    reach = job.conf.labels.days_after
    versions = {name: job.lake.version(table) for name, table in _LOGS.items()}
    tables = {name: job.table_of(table, versions[name]) for name, table in _LOGS.items()}
    after = days.widened(after=reach)
    logs = Logs(
        impressions=_between(tables["impressions"], days.widened(before=2 * reach)),
        clicks=_between(tables["clicks"], after),
        plays=_between(tables["plays"], after),
        users=job.table_of(layout.USERS),
        videos=job.table_of(layout.VIDEOS),
    )
    labelled = label_days(logs, days, job.conf.labels, job.conf.logs.timezone)
    try:
        reconciled_days = reconcile(labelled, _rows_by_day(job, versions), days)
        reconciled_days = _usable(job, reconciled_days)
        if not reconciled_days:
            return {}
        profiles = profile_days(
            labelled.samples, {day: reconciled.samples for day, reconciled in reconciled_days.items()}
        )
        delivered = job.lake.inputs(layout.CLICKS, days=after)
        records = [
            Record(
                "label",
                str(day),
                stale[day],
                {**reconciled.facts(), "profile": profiles[day], "provisional": _open(day, reach, delivered)},
            )
            for day, reconciled in reconciled_days.items()
        ]
        # The samples' commit closes the days: killed before it, they are labelled again.
        usable = F.col("day").isin(*reconciled_days)
        replace_days(labelled.quarantine().where(usable), job.lake.uri(layout.QUARANTINE), records)
        replace_days(labelled.samples.where(usable), job.lake.uri(layout.SAMPLES), records)
    finally:
        labelled.release()
    return reconciled_days


def _usable(job: Job, reconciled_days: Mapping[date, Reconciliation]) -> dict[date, Reconciliation]:
    """The days with something to learn from; the others are blocked."""
    usable = {}
    for day, reconciled in reconciled_days.items():
        try:
            reconciled.check_usable(day)
            usable[day] = reconciled
        except DataError as err:
            job.block(day, err)
    return usable


def _open(day: date, reach: int, delivered: Mapping[str, int]) -> bool:
    """Whether the window of a day's impressions reaches into a day whose clicks are not there yet."""
    return any(f"{layout.CLICKS}/{after}" not in delivered for after in Days(day, day).widened(after=reach))


def _rows_by_day(job: Job, versions: Mapping[str, int]) -> dict[str, dict[date, int]]:
    """By the tables' own logs, so that they can contradict what the join makes of the rows."""
    counts = {name: job.lake.rows_by_day(_LOGS[name], version) for name, version in versions.items()}
    return {name: {date.fromisoformat(day): rows for day, rows in count.items()} for name, count in counts.items()}


def _between(rows: DataFrame, days: Days) -> DataFrame:
    return rows.where(F.col("day").between(days.first, days.last))


if __name__ == "__main__":
    sys.exit(main(["label", *sys.argv[1:]]))
