"""Join a day's impressions, clicks and plays into labelled samples; set broken rows aside with the reason."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from functools import partial
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.job import ROUNDS, Job
from ncs.days import Days
from ncs.errors import DataError, GateError
from ncs.features.profile import profile_days
from ncs.labels.join import Labelled, Logs, label_days
from ncs.labels.reach import Reach
from ncs.labels.reconciliation import Examples, LogCounts, Reconciliation, examples, reconcile
from ncs.lake import currency, layout
from ncs.lake.currency import Wanted
from ncs.lake.layout import Record
from ncs.lake.writer import replace_days

_LOGS = {"impressions": layout.IMPRESSIONS, "clicks": layout.CLICKS, "plays": layout.PLAYS}


def run(job: Job, again: Collection[date] = ()) -> None:
    """Label the job's days whose logs, or those of days close by, have changed since; `again` anyway.

    A day without anything to learn from is blocked alone. Raises GateError if no day has. Says what became of the
    rows of each log.
    """
    days = rows = 0
    for _ in range(ROUNDS):
        stale = _find_stale(job, again)
        if not stale:
            break
        for reconciled_days in job.each(partial(_label, job, stale=stale), stale, "label"):
            days += len(reconciled_days)
            rows += sum(reconciled.samples for reconciled in reconciled_days.values())
        again = ()
    job.say(f"label: {days} of {len(job.open_days)} days labelled, {rows:,} samples in {job.lake.uri(layout.SAMPLES)}")
    for log, reconciled in _totals(job).items():
        job.say(f"label: {log} of {Days.text(job.open_days)}, {reconciled}")


def _totals(job: Job) -> dict[str, LogCounts]:
    """The outcomes of each log's rows, over all of the job's days that are labelled."""
    records, totals = job.lake.records(layout.SAMPLES), {log: LogCounts() for log in _LOGS}
    for day in job.open_days:
        facts = records[str(day)][1].facts if str(day) in records else {}
        for log, reconciled in facts.get("logs", {}).items():
            totals[log].add(LogCounts(**reconciled))
    return totals


def _find_stale(job: Job, again: Collection[date]) -> dict[date, dict[str, Any]]:
    """The days to label, each with its provenance. Raises DataError for one without impressions."""
    now = job.now()
    event_days = own_days_of_events(now)
    sources = {day: provenance(now, day, event_days) for day in job.open_days}
    for day, source in sources.items():
        if f"{layout.IMPRESSIONS}/{day}" not in source["inputs"]:
            raise DataError(f"{layout.IMPRESSIONS} has no day {day}; run `ncs ingest --days {day}` first")
    wanted = {layout.SAMPLES: {str(day): source for day, source in sources.items()}}
    changed = currency.stale(now.lake, wanted, beside=[layout.QUARANTINE])
    return {day: source for day, source in sources.items() if day in again or str(day) in changed}


def with_reopened(job: Job) -> Days:
    """The job's days and those close by that are labelled and that the logs of these days change.

    So yesterday is labelled again once today's clicks are there, and so are the days of which they bring late ones. A
    gap of days without labels ends it.
    """
    now = job.now()
    done, event_days = now.lake.records(layout.SAMPLES), own_days_of_events(now)
    around = Reach.of(job.conf.logs, job.conf.labels).around(job.days)
    known = Days.runs([day for day in around if day in job.days or str(day) in done], len(around))
    near = [day for run in known if any(day in job.days for day in run) for day in run]
    others = {str(day): provenance(now, day, event_days) for day in near if day not in job.days}
    changed = [date.fromisoformat(day) for day in currency.stale(now.lake, {layout.SAMPLES: others})]
    return Days.of([*job.days, *changed])


def own_days_of_events(job: Job) -> dict[date, Days | None]:
    """Folder -> the own days of the clicks and plays that it has brought, by the tables' logs."""
    times = [job.lake.times_by_day(table) for table in (layout.CLICKS, layout.PLAYS)]
    return Reach.of(job.conf.logs, job.conf.labels).event_days(times)


def provenance(job: Job, day: date, event_days: Mapping[date, Days | None] | None = None) -> dict[str, Any]:
    """The provenance that a day's samples would have now: the folders that it is labelled from, and the profiles."""
    known = own_days_of_events(job) if event_days is None else event_days
    shown, events = Reach.of(job.conf.logs, job.conf.labels).folders(day, known)
    inputs = job.lake.inputs(layout.IMPRESSIONS, days=shown)
    around = job.lake.inputs(layout.CLICKS, layout.PLAYS, days=Days(events[0], events[-1]))
    inputs |= {part: version for part, version in around.items() if _folder(part) in events}
    inputs |= job.lake.inputs(layout.USERS, layout.VIDEOS)
    return {"conf": job.conf.digest("labels", "logs.timezone", "logs.folder_day"), "inputs": inputs}


def wanted(job: Job) -> dict[str, Wanted]:
    """The provenance that the job's days would have now; in quarantine, those of them that have rows there."""
    event_days, done = own_days_of_events(job), job.lake.records(layout.SAMPLES)
    labels: dict[str, dict[str, Any] | DataError] = {}
    for day in job.days:
        source = provenance(job, day, event_days)
        there = f"{layout.IMPRESSIONS}/{day}" in source["inputs"]
        labels[str(day)] = source if there else DataError(f"{layout.IMPRESSIONS} has no such day")
    logs = {day: done[day][1].facts.get("logs", {}).values() for day in labels if day in done}
    # A labelled day without a bad row has no commit there.
    clean = {day for day, of_day in logs.items() if not any(sum(log["quarantined"].values()) for log in of_day)}
    quarantined = {day: labels[day] for day in labels if day not in clean}
    return {layout.SAMPLES: labels, layout.QUARANTINE: quarantined}


def _label(job: Job, days: Days, stale: Mapping[date, dict[str, Any]]) -> dict[date, Reconciliation]:
    versions = {name: job.lake.version(table) for name, table in _LOGS.items()}
    inputs = {key for day in days for key in stale[day]["inputs"]}
    logs = Logs(
        **{log: _folders(job, table, versions[log], inputs) for log, table in _LOGS.items()},
        users=job.read(layout.USERS),
        videos=job.read(layout.VIDEOS),
    )
    labelled = label_days(logs, days, Reach.of(job.conf.logs, job.conf.labels))
    try:
        reconciled_days = reconcile(labelled, _rows_by_day(job, versions), days)
        gates = job.conf.gates
        good = all(
            reconciled.clicked and not any(log.exceeds(gates) for log in reconciled.logs.values())
            for reconciled in reconciled_days.values()
        )
        shown = {} if good else examples(labelled)
        usable = _usable(job, reconciled_days, shown)
        if usable:
            records, of_usable = _records(job, labelled, usable, shown, stale), F.col("day").isin(*usable)
            # The samples' commit closes the days: killed before it, they are labelled again.
            replace_days(labelled.quarantine().where(of_usable), job.lake.uri(layout.QUARANTINE), records)
            replace_days(labelled.samples.where(of_usable), job.lake.uri(layout.SAMPLES), records)
    finally:
        labelled.release()
    return usable


def _usable(
    job: Job, reconciled_days: Mapping[date, Reconciliation], shown: Mapping[date, Examples]
) -> dict[date, Reconciliation]:
    """The days with something to learn from; the others are blocked."""
    usable = {}
    for day, reconciled in reconciled_days.items():
        try:
            reconciled.check_usable(day, shown.get(day, {}))
            usable[day] = reconciled
        except GateError as err:
            job.block(day, err)
    return usable


def _records(
    job: Job,
    labelled: Labelled,
    usable: Mapping[date, Reconciliation],
    shown: Mapping[date, Examples],
    stale: Mapping[date, dict[str, Any]],
) -> list[Record]:
    """A record per day: its provenance, the outcomes of the logs' rows, a profile of the samples."""
    reach = Reach.of(job.conf.logs, job.conf.labels)
    profiles = profile_days(labelled.samples, {day: reconciled.samples for day, reconciled in usable.items()})
    delivered = [set(job.lake.records(table)) for table in (layout.CLICKS, layout.PLAYS)]
    records = []
    for day, reconciled in usable.items():
        awaited = {str(folder) for folder in reach.awaited(day)}
        facts = {
            **reconciled.facts(),
            "examples": shown.get(day, {}),
            "profile": profiles[day],
            "provisional": not all(awaited <= there for there in delivered),
        }
        records.append(Record("label", str(day), stale[day], facts))
    return records


def _folder(part: str) -> date:
    """The day of an input, `<layer>/<table>/<day>`."""
    return date.fromisoformat(part.rpartition("/")[2])


def _folders(job: Job, table: str, version: int, parts: Iterable[str]) -> DataFrame:
    """A log's rows, from the first to the last of its folders among the inputs."""
    days = [_folder(part) for part in parts if part.startswith(f"{table}/")]
    rows = job.read(table, version)
    return rows.where(F.col("day").between(min(days), max(days))) if days else rows.where(F.lit(False))


def _rows_by_day(job: Job, versions: Mapping[str, int]) -> dict[str, dict[date, int]]:
    """By the tables' own logs, so that they can contradict what the join makes of the rows."""
    counts = {name: job.lake.rows_by_day(_LOGS[name], version) for name, version in versions.items()}
    return {name: {date.fromisoformat(day): rows for day, rows in count.items()} for name, count in counts.items()}
