"""Models of a run trained side by side, each by a process of its own: one model keeps one core busy, or two."""

import multiprocessing
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from ncs.errors import TrainingError
from ncs.models import model_type
from ncs.runs.run import Run
from ncs.runs.training import LEARNT_FROM, Training
from ncs.tasks import tasks_of
from ncs.training import cluster
from ncs.training.hardware import available_cores, select_device
from ncs.training.loop import train_groups
from ncs.values import redact

_WORTH_A_PROCESS = 1_000_000
"""Rows that a model sees in training, by which a process of its own is worth the seconds that its start takes."""


def at_once(run: Run) -> int:
    """How many of a run's pending models one worker trains at once: `train.models_at_once`.

    By default as many as there are cores for, if each sees a million rows and the decoded rows of all of them have
    room in `data_loading.memory_rows`. A GPU trains one after the other.
    """
    train, pending = run.conf.train, len(run.pending())
    if train.models_at_once is not None or pending < 2:
        return min(train.models_at_once or 1, pending)
    cores = available_cores() // (train.threads or available_cores())
    if cores < 2 or select_device(train.device, 0).type != "cpu":
        return 1
    rows = sum(run.snapshot(task.table, role).rows for task in tasks_of(run.conf).values() for role in LEARNT_FROM)
    if rows * train.epochs < _WORTH_A_PROCESS:
        return 1
    return max(1, min(pending, cores, run.conf.data_loading.memory_rows // rows))


def train_side_by_side(run: Run, processes: int, quiet: bool) -> None:
    """Train a run's pending models, so many at once; the result is the same as one after the other.

    The processes end when this one does, however it does. Raises what one of them raises, and ends the others: the same
    command goes on from their last epochs. Raises TrainingError if one is killed.
    """
    spawn = multiprocessing.get_context("spawn")  # a fork would share locks of torch's, Arrow's and the JVM's threads
    names, failures = spawn.SimpleQueue(), spawn.SimpleQueue()
    # Those that search masks first: the longest, begun last, would end alone.
    pending = sorted(run.pending(), key=lambda name: model_type(run.conf.of_model(name)).train is train_groups)
    for name in [*pending, *[None] * processes]:
        names.put(name)
    workers = [spawn.Process(target=_work, args=(run, names, failures, quiet), daemon=True) for _ in range(processes)]
    try:
        for worker in workers:
            worker.start()
        _await(workers, failures)
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
                worker.join()


def _await(workers: Sequence[BaseProcess], failures: Any) -> None:
    """Wait until all have ended; raise the first failure."""
    left = list(workers)
    while left:
        ended = wait([worker.sentinel for worker in left])
        for worker in [worker for worker in left if worker.sentinel in ended]:
            left.remove(worker)
            worker.join()
            if not failures.empty():
                raise failures.get()
            if worker.exitcode:
                how = f"by signal {-worker.exitcode}" if worker.exitcode < 0 else f"with code {worker.exitcode}"
                raise TrainingError(
                    f"a process that trained one of {len(workers)} models at once ended {how}; if memory is short, "
                    "--set train.models_at_once=1; the same command goes on from the last epoch"
                )


def _work(run: Run, names: Any, failures: Any, quiet: bool) -> None:
    """Train models until there are no more names. In a new process."""
    cluster.end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent, which gets it too, ends this process
    try:
        training = Training(run, cluster.connect(), lambda text: _say(text, quiet), quiet=True)
        while (name := names.get()) is not None:
            training.train(name)
    except Exception as err:
        failures.put(err)
        sys.exit(1)


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        print(redact(text), file=sys.stderr, flush=True)
