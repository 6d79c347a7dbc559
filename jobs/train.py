"""Search masks and train the models of `train.models` on the samples as they are now; resumes what was interrupted."""

from jobs.job import Job
from jobs.stage import Daily, Group, Stage, worker_options
from ncs.lake import names


def run(job: Job) -> None:
    """Search masks and train the models of train.models."""
    from jobs.pipeline import train

    train.run(job)


STAGE = Stage(
    name="train",
    help="Search masks and train the models of train.models.",
    details=__doc__,
    group=Group.TRAINING,
    run=run,
    examples=(
        "ncs train --conf conf/demo.yaml --lake lake/demo --workers 2",
        "ncs train --conf conf/demo.yaml --lake s3://bucket/lake --launcher horovodrun --hosts a:4,b:4",
    ),
    arguments=worker_options(),
    reads=(names.VOCABULARY, names.ENCODED),
    writes=(names.MODELS,),
    daily=Daily(),
)

if __name__ == "__main__":
    STAGE.main()
