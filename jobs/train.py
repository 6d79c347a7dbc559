"""Search masks and train the models of `train.models` on the samples as they are now; resumes what was interrupted.

With --from the models go on from those of a run: its weights and masks, tables grown by the new ids, one pass over the
training days that came after it.
"""

import click

from jobs.job import Job
from jobs.stage import Daily, Group, Stage, worker_options
from ncs.lake import names


def run(job: Job, parent: str | None = None) -> None:
    """Search masks and train the models of train.models."""
    from jobs.pipeline import train

    train.run(job, parent)


STAGE = Stage(
    name="train",
    help="Search masks and train the models of train.models.",
    details=__doc__,
    group=Group.TRAINING,
    run=run,
    examples=(
        "ncs train --conf conf/demo.yaml --lake lake/demo --workers 2",
        "ncs train --conf conf/mine.yaml --lake lake/mine --from latest",
        "ncs train --conf conf/demo.yaml --lake s3://bucket/lake --launcher horovodrun --hosts a:4,b:4",
    ),
    arguments=(
        click.Option(["--from", "parent"], metavar="RUN", help="Go on from this run, or from the latest."),
        *worker_options(),
    ),
    reads=(names.VOCABULARY, names.ENCODED),
    writes=(names.MODELS,),
    daily=Daily(),
)

if __name__ == "__main__":
    STAGE.main()
