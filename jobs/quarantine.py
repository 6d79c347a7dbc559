"""Show what was set aside and why, or replay it: label its days again from bronze, under the rules as they are now.

Bronze keeps every raw row, so a row that was set aside comes back by being judged again: the days that hold such rows
are labelled, whatever their records say. New logs and other keys of `labels` need no replay, `ncs run` sees them;
a rule that was corrected in the code does.
"""

import click

from jobs.job import Job
from jobs.stage import Group, Stage
from ncs.lake import names


def run(
    job: Job, action: str = "show", log: str | None = None, reason: str | None = None, as_json: bool = False
) -> None:
    """Show the rows that were set aside, or replay their days."""
    from jobs.pipeline import quarantine

    quarantine.run(job, action, log, reason, as_json)


STAGE = Stage(
    name="quarantine",
    help="Show the rows that were set aside, or replay their days.",
    details=__doc__,
    group=Group.UPKEEP,
    run=run,
    examples=(
        "ncs quarantine show --conf conf/demo.yaml --lake lake/demo --log plays --reason bad_watch",
        "ncs quarantine replay --conf conf/demo.yaml --lake lake/demo --days 2022-04-08..2022-04-16",
    ),
    arguments=(
        click.Argument(["action"], type=click.Choice(["show", "replay"])),
        click.Option(["--log"], type=click.Choice(["impressions", "clicks", "plays"]), help="Of one log."),
        click.Option(["--reason"], metavar="NAME", help="Of one reason, as bad_watch."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
    ),
    reads=(*names.BRONZE, names.QUARANTINE),
    writes=(names.SAMPLES, names.QUARANTINE),
)

if __name__ == "__main__":
    STAGE.main()
