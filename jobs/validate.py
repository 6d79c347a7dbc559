"""Check the lake's tables against their Great Expectations suites; a table that fails ends the run (exit code 3).

A table that has passed before, with the same version, days and suite, is not read again.
"""

import click

from jobs.job import Job
from jobs.stage import Group, Stage
from ncs.lake import names


def run(job: Job, table: str | None = None) -> None:
    """Check the tables' data quality with Great Expectations."""
    from jobs.pipeline import validate

    validate.run(job, table)


STAGE = Stage(
    name="validate",
    help="Check the tables' data quality with Great Expectations.",
    details=__doc__,
    group=Group.DAILY,
    run=run,
    examples=(
        "ncs validate --conf conf/demo.yaml --lake lake/demo",
        "ncs validate --conf conf/demo.yaml --lake lake/demo --table silver/samples",
    ),
    arguments=(
        click.Option(["--table"], metavar="NAME", help="One table, as silver/samples (default: all there are)."),
    ),
    reads=(*names.BRONZE, names.SAMPLES, names.ENCODED, names.PREDICTIONS),
    writes=(names.VERDICTS,),
)

if __name__ == "__main__":
    STAGE.main()
