"""Check the lake's tables against their Great Expectations suites; a table that fails ends the run (exit code 3)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.job import Job
from ncs.days import Days
from ncs.errors import ConfigError, DataError
from ncs.features.growth import largest_ids
from ncs.lake.layout import PREDICTIONS, SAMPLES, USERS, VIDEOS, VOCABULARY
from ncs.tasks import named_tasks
from validation import bands, suites
from validation import tables as tables_of
from validation.gate import Gate
from validation.rules import Suite
from validation.verdicts import Verdict, by_day, last_outcome, stored

PROFILES = (USERS, VIDEOS)
"""The tables that have no days."""


def run(job: Job, table: str | None = None) -> None:
    """Validate `table`, or every table that the lake has, over `job.days`.

    Raises GateError with all failures; ConfigError for a table without a suite, DataError for one that is not there.
    """
    tables = [table] if table else [name for name in tables_of(job.conf) if job.lake.has(name)]
    if not tables:
        raise DataError(f"the lake {job.lake.root} has no table to validate; run `ncs ingest` first")
    gate(job, *tables)


def gate(job: Job, *tables: str) -> None:
    """Let the flow go on when all the tables are good, else raise GateError with all failures."""
    known = tables_of(job.conf)
    for table in tables:
        if table not in known:
            raise ConfigError(f"there is no suite for {table!r}; there are {', '.join(known)}")
    at = Gate(job.lake, job.conf)
    at.enforce([_verdict(job, at, table) for table in job.progress(tables, "validate", "table")])


def block_days(job: Job, *tables: str) -> None:
    """Like `gate`, but days that are bad by themselves are blocked (`job.blocked`), and the others pass.

    Raises GateError when a table fails otherwise: users or videos, all days, or days that are bad only together.
    """
    at = Gate(job.lake, job.conf)
    verdicts = [_verdict(job, at, table) for table in job.progress(tables, "validate", "table")]
    failed = [verdict for verdict in verdicts if not verdict.success]
    blocked = {day: why for each in failed if each.table not in PROFILES for day, why in _bad_days(job, at, each)}
    if blocked and len(blocked) < len(job.open_days):
        job.blocked.update(blocked)
        job.say(f"validate: {Days.text(blocked)} blocked")
        at.enforce([])  # the pages of the bad days
        gate(job, *(verdict.table for verdict in failed))
    else:
        at.enforce(failed)


def _bad_days(job: Job, at: Gate, failed: Verdict) -> Iterator[tuple[date, str]]:
    """The days that fail by themselves, each with a page of its own, and what is wrong with them."""
    table = failed.table
    version, learnt = job.lake.version(table), _learnt(job, table)
    for day in _suspects(job, failed):
        suite = _suite(job, table, [day], {day: learnt[day]} if day in learnt else {})
        suite = replace(suite, name=f"{suite.name}-{day}")
        verdict = at.check(_rows(job, table, version, [day]), suite, table, version, str(day), digest=str(day))
        if not verdict.success:
            yield day, str(verdict)


def _suspects(job: Job, failed: Verdict) -> list[date]:
    """The days that the failures name; all, where one names none."""
    named = [failure.days for failure in failed.failed if not failure.warns]
    return [day for day in job.open_days if not all(named) or any(str(day) in days for days in named)]


def _learnt(job: Job, table: str) -> dict[date, bands.Bands]:
    """The bands of the days to work on, learnt from all days that are labelled."""
    if table != SAMPLES:
        return {}
    learnt = bands.learn(bands.facts_by_day(job.lake.records(table), job.conf.fields), job.conf.gates.learnt)
    return {day: learnt[day] for day in job.open_days if day in learnt}


def _label_facts(job: Job, table: str, days: list[date]) -> dict[date, Mapping[str, Any]]:
    """The facts in the commits of labelled days."""
    if table != SAMPLES:
        return {}
    records = job.lake.records(table)
    return {day: records[str(day)][1].facts for day in days if str(day) in records}


def _suite(job: Job, table: str, days: list[date], learnt: dict[date, bands.Bands]) -> Suite:
    ids = largest_ids(job.read(VOCABULARY)) if _encoded(job, table) else None
    return suites.build(table, job.conf, days, ids, learnt, _label_facts(job, table, days), _columns(job, table))


def _verdict(job: Job, at: Gate, table: str) -> Verdict:
    version, days = job.lake.version(table), _days(job, table)
    learnt = _learnt(job, table)
    digest = _digest(job, table, days, learnt)
    before = stored(job.lake, table)
    if before and before.success and (before.version, before.digest) == (version, digest):
        job.say(f"validate: {before}, as found before")
        return before
    verdict = at.check(
        _rows(job, table, version, days),
        _suite(job, table, days, learnt),
        table=table,
        version=version,
        days="all" if table in PROFILES else Days.text(days),
        digest=digest,
    )
    job.say(f"validate: {verdict if verdict.success else str(verdict).splitlines()[0]}")
    return verdict


def _days(job: Job, table: str) -> list[date]:
    """The days to check: the job's, and those that an encoding has written beside them and nobody has checked."""
    if table == PREDICTIONS:
        return list(job.conf.test_days)
    return sorted({*job.open_days, *_unchecked(job, table)}) if _encoded(job, table) else job.open_days


def _unchecked(job: Job, table: str) -> Iterator[date]:
    checks = by_day(job.lake)
    for key, commit in job.lake.commits(table).items():
        if date.fromisoformat(key) not in job.days and last_outcome(checks.get((table, key), []), commit) is None:
            yield date.fromisoformat(key)


def _digest(job: Job, table: str, days: list[date], learnt: dict[date, bands.Bands]) -> str:
    """The digest of the suite; the vocabulary's version stands for the largest ids, which are not read for it."""
    suite = suites.build(table, job.conf, days, None, learnt, _label_facts(job, table, days), _columns(job, table))
    return suite.digest(vocabulary=job.lake.version(VOCABULARY) if _encoded(job, table) else None)


def _columns(job: Job, table: str) -> list[str]:
    """The columns that a table of profiles has; a key of theirs may have several rows."""
    return job.lake.columns(table) if table in PROFILES else []


def _encoded(job: Job, table: str) -> bool:
    """Whether a table holds the samples of a task."""
    return any(table == task.table for task in named_tasks(job.conf).values())


def _rows(job: Job, table: str, version: int, days: list[date]) -> DataFrame:
    rows = job.read(table, version)
    if "day" not in rows.columns:
        return rows
    return rows.where(F.col("day").isNull() | F.col("day").isin(days))
