"""Models of a run trained side by side, each by a process of its own: one model keeps one core busy, or two."""

import multiprocessing
import signal
import sys
import threading
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

from tqdm import tqdm

from ncs.errors import TrainingError
from ncs.models import model_type
from ncs.runs.run import Run
from ncs.runs.training import LEARNT_FROM, Training
from ncs.tasks import named_tasks
from ncs.threads import leave
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
    rows = sum(run.snapshot(task.table, role).rows for task in named_tasks(run.conf).values() for role in LEARNT_FROM)
    if rows * train.epochs < _WORTH_A_PROCESS:
        return 1
    return max(1, min(pending, cores, run.conf.data_loading.memory_rows // rows))


def train_side_by_side(run: Run, processes: int, quiet: bool) -> None:
    """Train a run's pending models, so many at once; the result is the same as one after the other.

    The processes end when this one does, however it does. Raises what one of them raises, and ends the others: the same
    command goes on from their last epochs. Raises TrainingError if one is killed.
    """
    # Those that search masks first: the longest, begun last, would end alone.
    kinds = {name: model_type(run.conf.for_model(name)) for name in run.pending()}
    names = sorted(kinds, key=lambda name: (kinds[name].of_others, kinds[name].train is train_groups))
    spawn = multiprocessing.get_context("spawn")  # a fork would share locks of torch's, Arrow's and the JVM's threads
    workers: dict[Any, BaseProcess] = {}
    training: dict[Any, str] = {}
    try:
        for _ in range(min(processes, len(names))):
            pipe, its_end = spawn.Pipe()
            workers[pipe] = spawn.Process(target=_work, args=(run, its_end, quiet), daemon=True)
            workers[pipe].start()
            its_end.close()  # so that the pipe ends with the worker
        while names or training:
            for pipe in workers.keys() - training.keys():
                parts_are_done = all(kinds[name].of_others for name in training.values())
                if names and (parts_are_done or not kinds[names[0]].of_others):
                    training[pipe] = names.pop(0)
                    pipe.send(training[pipe])
            ready: list[Any] = wait(list(training))
            for pipe in ready:
                _take_answer(pipe, workers[pipe], processes)
                del training[pipe]
        for pipe, worker in workers.items():
            pipe.send(None)
            worker.join()
    finally:
        for left in workers.values():
            left.terminate()
            left.join()


def _take_answer(pipe: Any, worker: BaseProcess, processes: int) -> None:
    """A model is trained, or the error of it is raised."""
    try:
        answer = pipe.recv()
    except (EOFError, OSError):
        worker.join()
        raise TrainingError(
            f"one of {processes} processes that train side by side was ended by signal {-(worker.exitcode or 0)}; if "
            "memory is short, --set train.models_at_once=1; the same command goes on from the last epoch"
        ) from None
    if answer is not None:
        raise answer


def _work(run: Run, pipe: Any, quiet: bool) -> None:
    """Train the models that the pipe names until it names none. In a new process."""
    cluster.end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent, which gets it too, ends this process
    tqdm.set_lock(threading.RLock())  # its own is a semaphore, which a process that is ended leaves behind
    try:
        training = Training(run, cluster.connect(), lambda text: _say(text, quiet), quiet=True)
        while (name := pipe.recv()) is not None:
            training.train(name)
            pipe.send(None)
    except Exception as err:
        pipe.send(err)
    leave(0)


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        print(redact(text), file=sys.stderr, flush=True)
