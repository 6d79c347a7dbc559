"""One of the workers that a launcher started: trains what an order in the lake asks for.

python -m jobs.pipeline.worker LAKE/_launch-<run>/order.json
"""

import sys

import pyarrow  # noqa: F401  (before torch: the other order has crashed)
import torch

from jobs.job import Job
from ncs.config import Config, digest
from ncs.errors import TrainingError
from ncs.lake import storage
from ncs.lake.documents import Order
from ncs.lake.layout import Lake
from ncs.runs.run import Run
from ncs.runs.training import train
from ncs.threads import leave
from ncs.training import cluster
from ncs.training.cluster import Cluster


def work(order: str) -> None:
    """Take part in the training that the order at a URI asks for."""
    asked = storage.read_json(order, Order)
    this = Run(Config.model_validate(asked["conf"]), Lake(**asked["lake"]), asked["versions"], asked["parent"])
    train_together(Job(this.conf, this.lake, this.conf.logs.days, quiet=asked["quiet"]), this, fewer=True)


def train_together(job: Job, this: Run, fewer: bool) -> Cluster:
    """Train as a worker among others: as many as the configuration says, or `fewer`, where some have been lost.

    Returns the workers. Raises TrainingError if they do not all have the same work before them.
    """
    try:
        workers = cluster.connect(this.subgroups)
        if workers.size != this.conf.workers and not fewer:
            raise TrainingError(f"{workers.size} workers were launched, the configuration says {this.conf.workers}")
        own = int(digest([this.run_id, this.versions]), 16)
        if int(workers.sum(torch.tensor([int(own != workers.broadcast_value(own))]))):
            raise TrainingError(
                "the workers differ in their configuration or in the samples' versions: were the samples encoded while "
                "they were started? Start them again, with the same files on each host"
            )
        train(this, workers, job.say, job.quiet)
        return workers
    except Exception as err:
        cluster.report_failure(err)
        raise


if __name__ == "__main__":
    try:
        work(sys.argv[1])
    except Exception as err:
        sys.exit(f"{type(err).__name__}: {err}")
    leave(0)
