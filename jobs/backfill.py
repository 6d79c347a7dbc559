"""Bring days from raw logs to the samples of gold: what is stale of them, several parts at once. Nothing is trained.

    ncs backfill 2022-04-08..2022-04-16 --conf conf/demo.yaml --lake lake/demo --parallel 3

A bad day is blocked alone, as in `ncs run`. Two backfills may run at once, of other days or of the same.
"""

import sys

from jobs.cli import main
from jobs.job import Job
from jobs.run import prepare


def run(job: Job) -> None:
    """Prepare the job's days."""
    prepare(job)
    job.say(f"backfill: {len(job.open_days)} days are up to date, in {job.lake.uri('gold')}")


if __name__ == "__main__":
    sys.exit(main(["backfill", *sys.argv[1:]]))
