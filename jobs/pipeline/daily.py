"""The stages of `ncs run` in order, what each has written checked before the next begins."""

from collections.abc import Iterator
from dataclasses import replace

import validation
from jobs.job import Job
from jobs.pipeline.validate import block_days, gate
from jobs.stage import Stage, daily_flow
from ncs.config import Config
from ncs.days import Days
from ncs.errors import ConfigError
from ncs.lake import names
from ncs.lake.windows import place_window
from ncs.tasks import named_tasks

_GATES = ("validation.expectations",)
"""Great Expectations, which takes as long to import as a JVM to start."""


def bring_to_gold(job: Job) -> None:
    """Raw logs to the samples of gold: what is stale of the job's days, and of days close by that their logs change.

    Ids are learnt on training days: as long as a window has none, the days end in silver.
    """
    job.ahead = _GATES
    for stage in daily_flow(by_day=True):
        if names.VOCABULARY in stage.writes:
            job.place_window()
            if not job.conf.has_learning_days:
                job.say(f"{stage.name}: nothing yet, a window needs {job.conf.least_days} labelled days")
                return
        take(job, stage)


def learn(job: Job) -> None:
    """Samples of gold to a comparison and its report.

    Models are compared on the test days of their run, whichever days have been brought to gold before.
    """
    of_run = replace(job, days_given=False)
    for stage in daily_flow(by_day=False):
        take(of_run, stage)


def check_days(job: Job) -> None:
    """Raise ConfigError for days that `ncs run` would prepare in vain, before any of them is read.

    These are days that it would neither train nor test on, or that leave nothing to train on; DataError where more
    days are missing between them than the window allows.
    """
    outside = [day for day in job.days if day not in job.conf.logs.days]
    if outside and job.conf.window.train is None:
        raise ConfigError(
            f"--days {job.days}: models are trained and compared on logs.days, {job.conf.logs.days}. Let a window roll "
            f"with the days (--set window.train=8), extend logs.days, or bring {Days.text(outside)} to gold with `ncs "
            f"backfill` and score it with a kept model, `ncs predict --days`"
        )
    placed = place_window(job.conf, job.lake, job.until, job.blocked, coming=list(job.days))
    if not placed.has_learning_days:
        raise ConfigError(
            f"window: {job.conf.least_days} days are needed to train, validate and test on, there are fewer labelled "
            f"up to {job.days.last} or among --days {job.days}; name more days, or bring these to silver with `ncs "
            f"backfill` until there are enough"
        )
    placed.select("train")


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
        yield from (task.table for task in named_tasks(conf).values()) if table == names.ENCODED else [table]
