"""Join a day's impressions, clicks and plays into labelled samples; set broken rows aside with the reason."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobs.job import Job
from jobs.stage import Daily, Group, Stage
from ncs.days import Days
from ncs.lake import names

if TYPE_CHECKING:
    from ncs.lake.currency import Wanted


def run(job: Job) -> None:
    """Join impressions, clicks and plays into labelled samples."""
    from jobs.pipeline import label

    label.run(job)


def days(job: Job) -> Days:
    """The job's days, and labelled ones close by that their logs change."""
    from jobs.pipeline import label

    return label.with_reopened(job)


def wanted(job: Job) -> "Mapping[str, Wanted]":
    """The provenance that the partitions of its tables would have now."""
    from jobs.pipeline import label

    return label.wanted(job)


STAGE = Stage(
    name="label",
    help="Join impressions, clicks and plays into labelled samples.",
    details=__doc__,
    group=Group.DAILY,
    run=run,
    examples=(
        "ncs label --conf conf/demo.yaml --lake lake/demo --days 2022-04-08..2022-04-16",
        "spark-submit jobs/label.py --conf conf/demo.yaml --lake lake/demo",
    ),
    reads=(*names.BRONZE,),
    writes=(names.SAMPLES, names.QUARANTINE),
    daily=Daily(by_day=True, gate="days", days=days),
    wanted=wanted,
)

if __name__ == "__main__":
    STAGE.main()
