"""Keep the tables' files in order: put small ones together, remove those that nobody needs any more.

Without --apply it only says what it would do. What a stored model was trained on stays, however old it is.
"""

import click

from jobs.job import Job
from jobs.stage import Group, Stage


def run(job: Job, apply: bool = False) -> None:
    """Report small and unused files; with --apply compact and remove them."""
    from jobs.pipeline import maintain

    maintain.run(job, apply)


STAGE = Stage(
    name="maintain",
    help="Report small and unused files; with --apply compact and remove them.",
    details=__doc__,
    group=Group.UPKEEP,
    run=run,
    examples=(
        "ncs maintain --conf conf/demo.yaml --lake lake/demo",
        "ncs maintain --conf conf/demo.yaml --lake lake/demo --apply",
    ),
    arguments=(click.Option(["--apply"], is_flag=True, help="Do it; without, only say what would be done."),),
)

if __name__ == "__main__":
    STAGE.main()
