"""Show each day of each table: rows, version, state, gate, quarantined, when written and from what, whether stale.

Reads Delta's logs alone, so it takes seconds and starts no JVM. Without --days, every day that a table knows.
Below them stand the predictions and the evaluation of the run that was trained last, and one line for all of it.
"""

import click

from jobs.job import Job
from jobs.stage import Group, Stage


def run(job: Job, as_json: bool = False, brief: bool = False) -> None:
    """Show each partition of each table: rows, state, data quality, whether it is stale."""
    from jobs.pipeline import status

    status.run(job, as_json, brief)


STAGE = Stage(
    name="status",
    help="Show each partition of each table: rows, state, data quality, whether it is stale.",
    details=__doc__,
    group=Group.UPKEEP,
    run=run,
    examples=(
        "ncs status --conf conf/demo.yaml --lake lake/demo",
        "ncs status --conf conf/demo.yaml --lake lake/demo --days 2022-04-08..2022-04-16 --json",
    ),
    arguments=(
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        click.Option(["--brief"], is_flag=True, help="Print the last line alone."),
    ),
)

if __name__ == "__main__":
    STAGE.main()
