"""Make the champion before this one the champion again; appends to gold/models. Starts no Spark."""

import click

from jobs.job import Job
from jobs.stage import Group, Stage
from ncs.lake import names


def run(job: Job, why: str | None = None) -> None:
    """Make the champion before this one the champion again."""
    from jobs.pipeline import promote

    promote.rollback(job, why)


STAGE = Stage(
    name="rollback",
    help="Make the champion before this one the champion again.",
    details=__doc__,
    group=Group.ANALYSIS,
    run=run,
    examples=("ncs rollback --conf conf/demo.yaml --lake lake/demo --why 'complaints about covers'",),
    arguments=(click.Option(["--why"], metavar="TEXT", help="The reason, for the registry."),),
    reads=(names.MODELS,),
    writes=(names.REGISTRY,),
)

if __name__ == "__main__":
    STAGE.main()
