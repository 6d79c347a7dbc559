"""The stages of `ncs run` in order, what each has written checked before the next begins."""

from collections.abc import Iterator

import validation
from jobs.job import Job
from jobs.pipeline.validate import block_days, gate
from jobs.stage import Stage, daily_flow
from ncs.config import Config
from ncs.lake import names
from ncs.tasks import tasks_of


def bring_to_gold(job: Job) -> None:
    """Raw logs to the samples of gold: what is stale of the job's days, and of days close by that their logs change."""
    for stage in daily_flow(by_day=True):
        take(job, stage)


def learn(job: Job) -> None:
    """Samples of gold to a comparison and its report."""
    for stage in daily_flow(by_day=False):
        take(job, stage)


def take(job: Job, stage: Stage) -> None:
    """Run a stage of the daily flow as it declares, and check its tables.

    Raises GateError when they are bad; days that are bad alone are blocked instead where the stage says so.
    """
    daily = stage.daily
    if daily is None or not daily.when(job.conf):
        return
    if daily.days:
        job.days = daily.days(job)
    stage.run(job)
    if daily.gate:
        check = block_days if daily.gate == "days" else gate
        check(job, *checked_tables(stage, job.conf))


def checked_tables(stage: Stage, conf: Config) -> list[str]:
    """The tables that a stage writes and that have a suite."""
    return [table for table in written_tables(stage, conf) if table in validation.tables(conf)]


def written_tables(stage: Stage, conf: Config) -> Iterator[str]:
    """The tables that a stage writes, those of the tasks by their names."""
    for table in stage.writes:
        yield from (task.table for task in tasks_of(conf).values()) if table == names.ENCODED else [table]
