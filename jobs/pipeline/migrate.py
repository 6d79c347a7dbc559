"""Bring the tables that an earlier ncs wrote up to what this one writes; their rows stay as they are."""

from jobs.job import Job
from ncs.lake import contract
from ncs.lake.migrations import is_untyped, migrate, type_empty_columns
from ncs.lake.tables import declared_table
from ncs.tasks import named_tasks


def run(job: Job) -> None:
    """Migrate every table that has a contract."""
    tables = [*contract.TABLES, *(task.table for task in named_tasks(job.conf).values())]
    for table in job.progress([table for table in tables if job.lake.has(table)], "migrate", "table"):
        if declared_table(table).append_only and is_untyped(job.lake.uri(table)):
            type_empty_columns(job.spark, job.lake.uri(table))
        steps = migrate(job.lake.uri(table))
        done = f"brought to schema version {steps[-1]}" if steps else "up to date"
        job.say(f"migrate: {table} {done}")
