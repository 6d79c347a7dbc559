"""Bring raw logs into bronze tables: a day's impressions, clicks and plays, and all users and videos."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobs.job import Job
from jobs.stage import Daily, Group, Stage
from ncs.lake import names

if TYPE_CHECKING:
    from ncs.lake.currency import Wanted


def run(job: Job) -> None:
    """Bring raw logs into bronze tables."""
    from jobs.pipeline import ingest

    ingest.run(job)


def wanted(job: Job) -> "Mapping[str, Wanted]":
    """The provenance that the partitions of its tables would have now."""
    from jobs.pipeline import ingest

    return ingest.wanted(job)


STAGE = Stage(
    name="ingest",
    help="Bring raw logs into bronze tables.",
    details=__doc__,
    group=Group.DAILY,
    run=run,
    examples=(
        "ncs ingest --conf conf/demo.yaml --lake lake/demo --days 2022-04-08..2022-04-16",
        "spark-submit jobs/ingest.py --conf conf/demo.yaml --lake lake/demo",
    ),
    reads=(names.LANDING,),
    writes=(*names.BRONZE,),
    daily=Daily(by_day=True, gate="days"),
    wanted=wanted,
)

if __name__ == "__main__":
    STAGE.main()
