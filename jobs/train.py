"""Search masks and train the systems of `train.system` on the samples as they are now; resumes what was interrupted.

    ncs train --conf conf/demo.yaml --lake lake/demo --workers 2

starts its own local Horovod workers. To start them otherwise (several hosts), run the same program under horovodrun:

    horovodrun --gloo -np 4 -H a:2,b:2 python jobs/train.py --conf conf/demo.yaml --lake s3://bucket/lake --workers 4
"""

import sys
import tempfile
from pathlib import Path

import pyarrow  # noqa: F401  (before torch: the other order has crashed)
import yaml

from jobs.cli import main
from jobs.job import Job
from ncs.errors import NcsError, TrainingError
from ncs.lake import storage
from ncs.training import cluster
from ncs.training.run import Run, train


def run(job: Job) -> None:
    """Train what the run lacks, and make it the one that the next stages work on."""
    this = Run.of(job.conf, job.lake)
    pending = this.pending()
    if cluster.launched():
        _work(job, this)
        return
    complete(job, this)
    storage.write_json(job.lake.uri("models", "latest.json"), {"run_id": this.run_id})
    done = f"{', '.join(pending)} trained" if pending else "nothing to train"
    job.say(f"train: {done}; run {this.run_id} in {this.folder}")


def complete(job: Job, this: Run) -> None:
    """Train what a run lacks: here, or, for several workers, in processes of their own."""
    if this.pending():
        if this.conf.workers > 1:
            _launch(job, this)
        else:
            train(this, cluster.connect(), job.say, job.quiet)
    storage.write_json(storage.join(this.folder, "run.json"), this.describe())


def _work(job: Job, this: Run) -> None:
    """As one of the workers that a launcher started."""
    workers = cluster.connect()
    try:
        if workers.size != job.conf.workers:
            raise TrainingError(f"{workers.size} workers were launched, the configuration says {job.conf.workers}")
        train(this, workers, job.say, job.quiet)
    except NcsError as err:
        cluster.report_failure(err)
        raise


def _launch(job: Job, this: Run) -> None:
    """As the one that starts the workers: this very program, on the effective configuration."""
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder) / "conf.yaml"
        # The order of `fields` is the order of their embeddings.
        conf.write_text(yaml.safe_dump(this.conf.public(), sort_keys=False))
        command = [sys.executable, "-m", "jobs.train", "--conf", str(conf), "--lake", job.lake.root]
        command += ["--quiet"] if job.quiet else []
        cluster.launch(this.conf.workers, command, Path(folder) / "workers.log")


if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
