"""Rebuild the vocabulary from the training days, where it otherwise only grows: values that are gone are freed.

Ids mean other values then: every day of the window is encoded again, and models of before score with the vocabulary
that they were trained with.
"""

import click

from jobs.job import Job
from jobs.stage import Group, Stage
from ncs.lake import names


def run(job: Job, action: str) -> None:
    """Rebuild the vocabulary and encode the days of the window with it."""
    from jobs.pipeline import encode

    assert action == "rebuild"
    encode.rebuild_vocabulary(job)
    encode.run(job)


STAGE = Stage(
    name="vocabulary",
    help="Rebuild the vocabulary, where it otherwise only grows.",
    details=__doc__,
    group=Group.UPKEEP,
    run=run,
    examples=("ncs vocabulary rebuild --conf conf/demo.yaml --lake lake/demo",),
    arguments=(click.Argument(["action"], type=click.Choice(["rebuild"])),),
    reads=(names.SAMPLES,),
    writes=(names.VOCABULARY, names.ENCODED),
)

if __name__ == "__main__":
    STAGE.main()
