"""Show each day of each table: rows, version, state, gate, quarantined, when written and from what, whether stale."""

import json
from collections.abc import Mapping
from dataclasses import replace

import validation
from jobs.job import Job
from jobs.stage import stages
from ncs.days import Days
from ncs.lake import layout
from ncs.lake.erasure import models_with_erased_users
from ncs.lake.status import PartitionStatus, as_text, statuses, summary
from validation import verdicts
from validation.verdicts import Checked


def run(job: Job, as_json: bool = False, brief: bool = False) -> None:
    """Print the status, as a table that ends with one line for all, as that line alone, or as JSON."""
    partitions = status(job)
    if as_json:
        print(json.dumps([partition.as_json() for partition in partitions], indent=2))
        return
    if brief:
        print(summary(partitions))
        return
    print(as_text(partitions))
    marked = models_with_erased_users(job.lake)
    if marked:
        print(f"\nmodels that have seen users erased since: {', '.join(sorted(marked))}")
    print(f"\n{summary(partitions)}")


def status(job: Job) -> list[PartitionStatus]:
    """The partitions of every table from bronze to the samples of gold, then the newest run's, in the flow's order."""
    job = job.now()
    if not job.days_given:
        job.days = _known_days(job)
    checks, partitions = verdicts.by_day(job.lake), []
    declared = [stage.wanted(job) for stage in stages().values() if stage.wanted]
    for table, wanted in (item for tables in declared for item in tables.items()):
        keys = list(dict.fromkeys([*map(str, job.days), *wanted]))
        partitions += statuses(job.lake, table, wanted, keys, _gates(job, table, checks))
    marked = models_with_erased_users(job.lake)
    return [_marked(partition) if partition.day in marked else partition for partition in partitions]


def _marked(partition: PartitionStatus) -> PartitionStatus:
    return replace(partition, stale=[*partition.stale, "its model has seen users erased since; run `ncs train`"])


NOT_CHECKED = "not checked"


def _gates(job: Job, table: str, checks: Mapping[tuple[str, str], list[Checked]]) -> dict[str, str]:
    """What the gate said of the current rows of each partition of a table; empty for a table without a suite."""
    if table not in validation.tables(job.conf):
        return {}
    commits = job.lake.commits(table)
    if table == layout.PREDICTIONS:  # kept by run and checked by day
        days = [of_day for (name, _), of_day in checks.items() if name == table]
        return {run: verdicts.run_outcome(days, commit) or NOT_CHECKED for run, commit in commits.items()}
    outcomes = {key: verdicts.last_outcome(checks.get((table, key), []), commit) for key, commit in commits.items()}
    return {key: outcome or NOT_CHECKED for key, outcome in outcomes.items()}


def _known_days(job: Job) -> Days:
    """From the first to the last day of `logs.days` and of the bronze and silver tables."""
    days = {*job.lake.days(layout.IMPRESSIONS), *job.lake.days(layout.SAMPLES), job.days.first, job.days.last}
    return Days(min(days), max(days))
