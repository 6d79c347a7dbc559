"""Create the analysts' SQL views over the tables that the lake has: in the schema `views.into`, if one is named."""

from jobs.job import Job
from ncs.errors import DataError
from ncs.lake import storage, views


def run(job: Job) -> None:
    """Create the views, ask each of them once, say what it holds."""
    schema = job.conf.views.into
    created = views.create(job.spark, job.lake, schema)
    if not created:
        raise DataError(f"the lake {job.lake.root} has no table that a view reads; run `ncs run` first")
    for view in created:
        name = f"{schema}.{view.name}" if schema else view.name
        print(f"{name}: {job.spark.table(name).count():,} rows. {view.comment}")
    for view in views.VIEWS:
        if view not in created:
            lacking = ", ".join(table for table in view.tables if not job.lake.has(table))
            job.say(f"views: {view.name} is left out, there is no {lacking} yet")
    if not schema:
        path = job.lake.uri("views.sql")
        text = ";\n\n".join(views.statement(view, job.lake, None) for view in created)
        storage.write_bytes(path, f"{text};\n".encode())
        print(f"views: {path}")
