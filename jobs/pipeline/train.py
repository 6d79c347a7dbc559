"""Search masks and train the models of `train.models` on the samples as they are now; resumes what was interrupted."""

import os
import sys
import tempfile
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pyarrow  # noqa: F401  (before torch: the other order has crashed)

from jobs.job import Job
from jobs.pipeline.runs import latest_run
from ncs.lake import storage
from ncs.runs.run import Run
from ncs.training.launched import launched

LATEST = "latest"


def run(job: Job, parent: str | None = None, why: str | None = None) -> None:
    """Train what the run lacks, and make it the one that the next stages work on.

    `parent`: the run to go on from, `latest` for the newest; None: from nothing, `why` for the lineage.
    """
    if parent == LATEST:
        newest = latest_run(job.lake)
        parent, until = newest.run_id, newest.configuration.train_days.last
        if job.conf.train_days.last <= until:
            job.say(f"train: run {parent} has been trained on days up to {until}, there is none after it")
            return
    this = Run.of(job.conf, job.lake, parent, why)
    pending = this.pending()
    if launched():
        from jobs.pipeline.worker import train_together

        if train_together(job, this, fewer=False).rank:
            return  # rank 0 says what has come of it
    complete(job, this, pending)
    storage.write_json(job.lake.uri("models", "latest.json"), {"run_id": this.run_id})
    done = f"{', '.join(pending)} trained" if pending else "nothing to train"
    job.say(f"train: {done}; run {this.run_id} in {this.folder}")


def complete(job: Job, this: Run, pending: Sequence[str] | None = None) -> None:
    """Train what a run lacks: here, or, for several workers, in processes of their own.

    `pending` is what it lacked when the command began, by default what it lacks now. Raises DataError if what it had
    is not what training wrote.
    """
    this.verify_trained(this.pending() if pending is None else pending)
    if this.pending():
        if this.conf.workers > 1:
            _launch(job, this)
        else:
            from ncs.runs.side_by_side import at_once, train_side_by_side
            from ncs.runs.training import train
            from ncs.training import cluster

            if (processes := at_once(this)) > 1:
                train_side_by_side(this, processes, job.quiet)
            else:
                train(this, cluster.connect(), job.say, job.quiet)
    this.write_description()


def _launch(job: Job, this: Run) -> None:
    """As the one that starts the workers: what they are to do stands in the lake, where hosts and executors find it."""
    folder = job.lake.uri(f"_launch-{this.run_id}-{uuid.uuid4().hex[:8]}")
    order, error = storage.join(folder, "order.json"), storage.join(folder, "error.txt")
    # The versions are the order's: a commit meanwhile must not give one worker other rows than the next.
    storage.write_json(order, asdict(this) | {"conf": this.conf.public(), "quiet": job.quiet})
    launch = this.conf.launch
    try:
        if launch.launcher in ("spark", "spark_torch"):
            from jobs.pipeline.spark_workers import launch_on_spark

            launch_on_spark(job.spark, launch, this.conf.workers, order, error)
        else:
            command = [sys.executable, "-m", "jobs.pipeline.worker", order]
            # A name that nobody can foresee, in a file that is new: others may write into the folder too.
            descriptor, name = tempfile.mkstemp(prefix="ncs-workers-", suffix=".log")
            os.close(descriptor)
            from ncs.training import cluster

            log = Path(name)
            cluster.launch(launch, this.conf.workers, this.conf.train.batch_size, command, error, log)
    finally:
        storage.remove(folder)
