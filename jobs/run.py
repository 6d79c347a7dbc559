"""The whole workflow in order, gates between the stages; what is already there is skipped.

spark-submit jobs/run.py --conf conf/demo.yaml --lake lake/demo
"""

import sys
import time

from jobs import encode, evaluate, generate, ingest, label, predict, train
from jobs.cli import main
from jobs.job import Job
from jobs.validate import gate
from ncs.lake import layout
from ncs.tasks import tasks_of


def run(job: Job) -> None:
    """Raw logs in, the comparison and its report out."""
    started = time.monotonic()
    generate.run(job)
    ingest.run(job)
    gate(job, layout.IMPRESSIONS, layout.CLICKS, layout.PLAYS, layout.USERS, layout.VIDEOS)
    label.run(job)
    gate(job, layout.SAMPLES)
    encode.run(job)
    gate(job, *(task.table for task in tasks_of(job.conf).values()))
    train.run(job)
    predict.run(job)
    gate(job, layout.PREDICTIONS)
    evaluate.run(job)
    job.say(f"run: done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
