"""Launching workers, and launching the remaining ones again when one is lost.

Elastic by restart: all state is in the checkpoints, so that continuing with fewer workers is the same as resuming. It
needs no support by the backend, and no worker uses a message that another has sent only half of.
"""

import ctypes
import importlib.util
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ncs.config import Launch
from ncs.errors import TrainingError
from ncs.lake import storage
from ncs.training.cluster.base import STALL_SECONDS, Launcher
from ncs.training.cluster.distributed import TORCHRUN
from ncs.training.cluster.horovod import HOROVODRUN

LAUNCHERS = {"horovodrun": HOROVODRUN, "torch": TORCHRUN}
ERROR_FILE = "NCS_WORKER_ERROR"
_log = logging.getLogger(__name__)


def launch(conf: Launch, workers: int, batch_size: int, command: Sequence[str], error: str, log: Path) -> None:
    """Run a command once for each worker and wait for all; if one is lost, again with the remaining ones.

    Their number has to divide `batch_size`. Their output goes to `log`, that of rank 0 to standard error too. Raises
    TrainingError with the message that a worker left at the URI `error`, or if `launch.restarts` are used up.
    """
    launcher = LAUNCHERS[conf.launcher]
    hosts = conf.slots or {"localhost": workers}
    check_startable(launcher.command(hosts, workers, conf.network), hosts, workers, conf.network)
    for left in reversed(range(conf.restarts + 1)):
        network = conf.network or ("lo" if hosts.keys() == {"localhost"} else None)
        program = [*launcher.command(hosts, workers, network), *command]
        if _succeeds(program, environment(conf, error), log, launcher.rank_0):
            return
        if storage.exists(error):
            raise TrainingError(storage.read_bytes(error).decode())
        hosts = without(hosts, _culprit(launcher, log))
        before, workers = workers, most_workers(min(workers, sum(hosts.values())), batch_size)
        if not left or not workers:
            raise TrainingError(
                f"a worker of {before} was lost or stalled, and launch.restarts ({conf.restarts}) are used up or no "
                f"host is left (the workers' output is in {log}); the same command goes on from the last epoch"
            )
        _log.warning("train: a worker of %d was lost or stalled; going on with %d from the last epoch", before, workers)
        _log.warning("train: the output of the workers before is in %s", log.replace(log.with_suffix(f".{before}.log")))


def check_startable(program: Sequence[str], hosts: Mapping[str, int], workers: int, network: str | None) -> None:
    """Raises TrainingError if the workers could not start, before anything waits for them."""
    module = program[program.index("-m") + 1]
    try:
        known = importlib.util.find_spec(module)
    except ImportError:
        known = None
    if known is None:
        raise TrainingError(f"launch.launcher: {module} is not installed here; install it, or name another launcher")
    if sum(hosts.values()) < workers:
        raise TrainingError(f"launch.hosts has {sum(hosts.values())} slots for {workers} workers; name more slots")
    for host in hosts:
        try:
            socket.getaddrinfo(host, None)
        except (OSError, UnicodeError) as err:
            raise TrainingError(f"launch.hosts: {host} cannot be resolved ({err}); name a host that can") from None
    if hosts.keys() - {"localhost", "127.0.0.1", socket.gethostname()} and shutil.which("ssh") is None:
        raise TrainingError("launch.hosts: workers on other hosts are started by ssh, which is not installed here")
    if network is not None:
        interfaces = [name for _, name in socket.if_nameindex()]
        for name in network.split(","):
            if name not in interfaces:
                raise TrainingError(f"launch.network: there is no interface {name} here; {', '.join(interfaces)} are")


def most_workers(workers: int, batch_size: int) -> int:
    """The largest number of workers, up to `workers`, that divides a global batch."""
    return next((n for n in range(workers, 0, -1) if batch_size % n == 0), 0)


def _culprit(launcher: Launcher, log: Path) -> int | None:
    """The rank that was killed by a signal; None if workers ended by themselves, waiting for one that stalled."""
    output = log.read_text(errors="replace")
    failed = launcher.first_to_fail.search(output)
    if failed is None:
        last = [line for line in output.splitlines() if line.strip()][-1:]
        raise TrainingError(f"the workers could not be started: {''.join(last)} (all of it in {log})")
    rank, code = map(int, failed.groups())
    return rank if code < 0 or code > 128 else None


def environment(conf: Launch, error: str) -> dict[str, str]:
    """The workers' environment: how long they wait for each other, where they leave an error message."""
    return {
        "HOROVOD_GLOO_TIMEOUT_SECONDS": str(conf.stall_seconds),
        STALL_SECONDS: str(conf.stall_seconds),
        ERROR_FILE: error,
    }


def without(hosts: Mapping[str, int], rank: int | None) -> dict[str, int]:
    """Hosts and slots without the lost `rank`: without its host if there are several, else without a slot."""
    if rank is not None and len(hosts) > 1:
        owners = [host for host, slots in hosts.items() for _ in range(slots)]
        return {host: slots for host, slots in hosts.items() if host != owners[rank]}
    last = list(hosts)[-1]
    return {host: slots - (host == last) for host, slots in hosts.items() if slots - (host == last)}


def _succeeds(command: Sequence[str], own: Mapping[str, str], log: Path, rank_0: str) -> bool:
    """Run a launcher until it exits; it and its workers exit when this process does.

    It writes to the log file itself: a pipe would break with this process, and torchrun would wait for ever for the
    threads that forward its workers' output.
    """
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **own},
            start_new_session=True,
            preexec_fn=end_with_parent,
        )
    try:
        return _follow(process, log, rank_0) == 0
    finally:
        process.terminate()


def _follow(process: subprocess.Popen[bytes], log: Path, rank_0: str) -> int:
    """Forward the output of rank 0 until the launcher exits; its exit code."""
    unfinished = ""
    with log.open(errors="replace") as file:
        while True:
            code = process.poll()  # before reading, so that its last output is not lost
            *lines, unfinished = (unfinished + file.read()).split("\n")
            for line in lines:
                if rank_0 in line:
                    sys.stderr.write(line.partition(rank_0)[2] + "\n")
            if code is not None:
                return code
            time.sleep(0.1)


def end_with_parent() -> None:
    """Have the kernel send SIGTERM when the parent exits, however it does (Linux's PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
