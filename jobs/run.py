"""The whole workflow in order, gates between the stages; what is already there is skipped.

A bad day is held back alone: the days around it go on to gold, then the run ends with exit code 3. Once the day has
been delivered anew the same command brings it in.

spark-submit jobs/run.py --conf conf/demo.yaml --lake lake/demo
"""

import sys
import time

from jobs import encode, evaluate, generate, ingest, label, predict, train
from jobs.cli import main
from jobs.job import Job
from jobs.validate import gate, hold_back
from ncs.days import Days
from ncs.errors import GateError
from ncs.lake import layout
from ncs.tasks import tasks_of


def run(job: Job) -> None:
    """Raw logs in, the comparison and its report out."""
    started = time.monotonic()
    generate.run(job)
    ingest.run(job)
    hold_back(job, layout.IMPRESSIONS, layout.CLICKS, layout.PLAYS, layout.USERS, layout.VIDEOS)
    label.run(job)
    hold_back(job, layout.SAMPLES)
    encode.run(job)
    gate(job, *(task.table for task in tasks_of(job.conf).values()))
    if job.held:  # the tables are there for whoever reads the other days; a model waits for all of its days
        raise GateError(
            f"{Days.text(job.held)} held back, the other {len(job.open_days)} days are in {job.lake.uri('gold')}; "
            "nothing is trained. Deliver the held days anew, or change `gates`, and run the same command\n"
            + "\n".join(job.held.values())
        )
    train.run(job)
    predict.run(job)
    gate(job, layout.PREDICTIONS)
    evaluate.run(job)
    job.say(f"run: done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
