"""Hold the lake's tables against their Great Expectations suites; a table that fails shuts the gate (exit code 3).

    spark-submit jobs/validate.py --conf conf/demo.yaml --lake lake/demo [--table silver/samples]

A table that has passed before, with the same version, days and suite, is not read again.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.cli import main
from jobs.job import Job
from ncs.config import digest
from ncs.days import Days
from ncs.errors import ConfigError, DataError
from ncs.lake.layout import PREDICTIONS, USERS, VIDEOS, VOCABULARY
from ncs.tasks import tasks_of
from validation import tables as tables_of
from validation.gate import Gate, Verdict, stored


def run(job: Job) -> None:
    """Validate `job.table`, or every table that the lake has, over `job.days`.

    Raises GateError with all failures; ConfigError for a table without a suite, DataError for one that is not there.
    """
    tables = [job.table] if job.table else [table for table in tables_of(job.conf) if job.lake.has(table)]
    if not tables:
        raise DataError(f"the lake {job.lake.root} has no table to validate; run `ncs ingest` first")
    gate(job, *tables)


def gate(job: Job, *tables: str) -> None:
    """Let the flow go on when all the tables are good, else raise GateError with all failures."""
    known = tables_of(job.conf)
    for table in tables:
        if table not in known:
            raise ConfigError(f"there is no suite for {table!r}; there are {', '.join(known)}")
    at = Gate(job.lake)
    at.enforce([_verdict(job, at, table) for table in job.progress(tables, "validate", "table")])


def _verdict(job: Job, at: Gate, table: str) -> Verdict:
    version, days = job.lake.version(table), _days(job, table)
    made_of = _digest(job, table, days)
    before = stored(job.lake, table)
    if before and before.success and (before.version, before.digest) == (version, made_of):
        job.say(f"validate: {before}, as found before")
        return before
    from validation import suites  # takes seconds, which a gate with nothing to do should not cost

    ids = _largest_ids(job) if _encoded(job, table) else None
    verdict = at.check(
        _rows(job, table, version, days),
        suites.build(table, job.conf, days, ids),
        table=table,
        version=version,
        days="all" if table in (USERS, VIDEOS) else str(days),
        digest=made_of,
    )
    job.say(f"validate: {str(verdict).splitlines()[0]}")
    return verdict


def _days(job: Job, table: str) -> Days:
    return job.conf.test_days if table == PREDICTIONS else job.days


def _digest(job: Job, table: str, days: Days) -> str:
    """What decides a suite, without building it: the rules' source, the configuration, days, tasks, vocabulary."""
    spec = find_spec("validation.suites")
    assert spec is not None
    assert spec.origin is not None
    parts = {"rules": Path(spec.origin).read_text(encoding="utf-8"), **job.conf.part("gates", "fields")}
    if table not in (USERS, VIDEOS):
        parts["days"] = str(days)
    if table == PREDICTIONS or _encoded(job, table):
        parts["tasks"] = {task.name: task.label for task in tasks_of(job.conf).values()}
    if _encoded(job, table):
        parts["vocabulary"] = job.lake.version(VOCABULARY)
    return digest(parts)


def _encoded(job: Job, table: str) -> bool:
    """Whether a table holds the samples of a task."""
    return any(table == task.table for task in tasks_of(job.conf).values())


def _rows(job: Job, table: str, version: int, days: Days) -> DataFrame:
    rows = job.spark.read.format("delta").option("versionAsOf", version).load(job.lake.uri(table))
    if "day" not in rows.columns:
        return rows
    return rows.where(F.col("day").isNull() | F.col("day").between(F.lit(days.first), F.lit(days.last)))


def _largest_ids(job: Job) -> dict[str, int]:
    vocabulary = job.spark.read.format("delta").load(job.lake.uri(VOCABULARY))
    return {row.field: row.largest for row in vocabulary.groupBy("field").agg(F.max("id").alias("largest")).collect()}


if __name__ == "__main__":
    sys.exit(main(["validate", *sys.argv[1:]]))
