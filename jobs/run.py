"""The whole workflow in order, gates between the stages; what is already there is skipped.

A bad day is blocked alone: the days around it go on to gold, then the run ends with exit code 3. Once the day has
been re-delivered the same command brings it in.
"""

import time

from jobs.job import Job
from jobs.stage import Group, Stage, worker_options


def run(job: Job) -> None:
    """Raw logs in, the comparison and its report out."""
    from jobs.pipeline import daily

    started = time.monotonic()
    daily.check_days(job)
    daily.bring_to_gold(job)
    # The tables are there for whoever reads the other days; a model waits for all of its days.
    job.check_blocked("Nothing is trained. Deliver the blocked days again, or change `gates`, and run the same command")
    daily.learn(job)
    job.say(f"run: done in {time.monotonic() - started:.0f} s")


STAGE = Stage(
    name="run",
    help="All stages of a day in order, data quality checked between them; what is up to date is skipped.",
    details=__doc__,
    group=Group.DAILY,
    run=run,
    examples=(
        "ncs run --conf conf/demo.yaml --lake lake/demo",
        "spark-submit jobs/run.py --conf conf/demo.yaml --lake lake/demo",
    ),
    arguments=worker_options(),
)

if __name__ == "__main__":
    STAGE.main()
