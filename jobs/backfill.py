"""Bring days from raw logs to the samples of gold: what is stale of them, several parts at once. Nothing is trained.

A bad day is blocked alone, as in `ncs run`. Two backfills may run at once, of other days or of the same.
"""

import click

from jobs.job import Job
from jobs.stage import Group, Stage


def run(job: Job) -> None:
    """Bring days from raw logs to the samples of gold, several at once."""
    from jobs.pipeline import daily

    daily.bring_to_gold(job)
    job.say(f"backfill: {len(job.open_days)} days are up to date, in {job.lake.uri('gold')}")


STAGE = Stage(
    name="backfill",
    help="Bring days from raw logs to the samples of gold, several at once.",
    details=__doc__,
    group=Group.DAILY,
    run=run,
    examples=("ncs backfill 2022-04-08..2022-04-16 --conf conf/demo.yaml --lake lake/demo --parallel 3",),
    arguments=(
        click.Argument(["days"], metavar="A..B"),
        click.Option(
            ["--parallel"], type=click.IntRange(min=1), default=1, metavar="N", help="Parts of the days at once."
        ),
    ),
)

if __name__ == "__main__":
    STAGE.main()
