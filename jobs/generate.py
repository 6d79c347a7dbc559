"""Write synthetic logs with a known truth into the lake's landing folders; days that are there are skipped."""

from jobs.job import Job
from jobs.stage import Daily, Group, Stage
from ncs.lake import names


def run(job: Job) -> None:
    """Write nine days of synthetic logs with a known truth."""
    from jobs.pipeline import generate

    generate.run(job)


STAGE = Stage(
    name="generate",
    help="Write nine days of synthetic logs with a known truth.",
    details=__doc__,
    group=Group.DAILY,
    run=run,
    examples=("ncs generate --conf conf/demo.yaml --lake lake/demo",),
    writes=(names.LANDING,),
    daily=Daily(by_day=True),
)

if __name__ == "__main__":
    STAGE.main()
