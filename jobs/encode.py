"""Turn samples into inputs: each day's sums, a vocabulary from the training days, each day's samples of each task."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobs.job import Job
from jobs.stage import Daily, Group, Stage
from ncs.lake import names

if TYPE_CHECKING:
    from ncs.lake.currency import Wanted


def run(job: Job) -> None:
    """Turn samples into inputs, as the training days teach."""
    from jobs.pipeline import encode

    encode.run(job)


def wanted(job: Job) -> "Mapping[str, Wanted]":
    """The provenance that the partitions of its tables would have now."""
    from jobs.pipeline import encode

    return encode.wanted(job)


STAGE = Stage(
    name="encode",
    help="Turn samples into inputs, as the training days teach.",
    details=__doc__,
    group=Group.DAILY,
    run=run,
    examples=("ncs encode --conf conf/demo.yaml --lake lake/demo --days 2022-04-08..2022-04-16",),
    reads=(names.SAMPLES,),
    writes=(names.DAILY_STATISTICS, names.VOCABULARY, names.ENCODED),
    daily=Daily(by_day=True, gate="tables"),
    wanted=wanted,
)

if __name__ == "__main__":
    STAGE.main()
