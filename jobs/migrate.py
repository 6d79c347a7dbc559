"""Bring the tables that an earlier ncs wrote up to what this one writes; their rows stay as they are."""

from jobs.job import Job
from jobs.stage import Group, Stage


def run(job: Job) -> None:
    """Bring tables that an earlier ncs wrote up to what this one writes."""
    from jobs.pipeline import migrate

    migrate.run(job)


STAGE = Stage(
    name="migrate",
    help="Bring tables that an earlier ncs wrote up to what this one writes.",
    details=__doc__,
    group=Group.UPKEEP,
    run=run,
    examples=("ncs migrate --conf conf/demo.yaml --lake lake/demo",),
)

if __name__ == "__main__":
    STAGE.main()
