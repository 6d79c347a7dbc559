"""The whole workflow in order, gates between the stages; what is already there is skipped.

A bad day is blocked alone: the days around it go on to gold, then the run ends with exit code 3. Once the day has
been delivered anew the same command brings it in.

spark-submit jobs/run.py --conf conf/demo.yaml --lake lake/demo
"""

import sys
import time

from jobs import encode, evaluate, generate, ingest, label, predict, track, train
from jobs.cli import main
from jobs.job import Job
from jobs.validate import block_days, gate
from ncs.lake import layout
from ncs.tasks import tasks_of


def run(job: Job) -> None:
    """Raw logs in, the comparison and its report out."""
    started = time.monotonic()
    prepare(job)
    # The tables are there for whoever reads the other days; a model waits for all of its days.
    job.check_blocked("Nothing is trained. Deliver the blocked days anew, or change `gates`, and run the same command")
    train.run(job)
    predict.run(job)
    gate(job, layout.PREDICTIONS)
    evaluate.run(job)
    if job.conf.track.uri is not None:
        track.run(job)
    job.say(f"run: done in {time.monotonic() - started:.0f} s")


def prepare(job: Job) -> None:
    """Raw logs to the samples of gold: what is stale of the job's days, and of days close by that their logs change."""
    generate.run(job)
    ingest.run(job)
    block_days(job, layout.IMPRESSIONS, layout.CLICKS, layout.PLAYS, layout.USERS, layout.VIDEOS)
    job.days = label.with_reopened(job)
    label.run(job)
    block_days(job, layout.SAMPLES)
    encode.run(job)
    gate(job, *(task.table for task in tasks_of(job.conf).values()))


if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
