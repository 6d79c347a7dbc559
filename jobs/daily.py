"""Take each new day: ingest, label, encode it, score it with the models in use, decide on the candidate, train on it.

The champion and the candidate, which were trained on the days before, predict the day first; their figures with
intervals go to gold/progress. The candidate takes the champion's place if `promote` in the configuration allows it.
Then `daily.model` is trained on the days of `window.train` up to this one and becomes the next candidate. Days that
are done are left, so that the same command goes on after a kill, replays a range, and can run each night without
--days.
"""

import click

from jobs.job import Job
from jobs.stage import Group, Stage, worker_options
from ncs.lake import names


def run(job: Job, again: bool = False, no_promote: bool = False) -> None:
    """Score each new day with the models in use, then train on it."""
    from jobs.pipeline import progressive

    progressive.run(job, again, promotes=not no_promote)


STAGE = Stage(
    name="daily",
    help="Score each new day with the models in use, then train on it and decide on the candidate.",
    details=__doc__,
    group=Group.DAILY,
    run=run,
    examples=(
        "ncs daily --conf conf/demo.yaml --lake lake/demo --days 2022-04-16",
        "ncs daily --conf conf/kuairand.yaml --lake lake/replay --days 2022-04-24..2022-05-02",
    ),
    arguments=(
        click.Option(["--again"], is_flag=True, help="Also days that are done: their logs were delivered again."),
        click.Option(["--no-promote"], is_flag=True, help="Leave the champion to `ncs promote`, a task of its own."),
        *worker_options(),
    ),
    reads=(names.MODELS, names.SAMPLES, names.ENCODED, names.PREDICTIONS),
    writes=(names.REGISTRY, names.PROGRESS),
)

if __name__ == "__main__":
    STAGE.main()
