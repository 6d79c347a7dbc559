"""All of Horovod: how workers find each other, add up, and are started. No other file says `hvd`.

One worker needs no launcher and no Horovod: it is a `Cluster`. Another backend would be another class here.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ncs.errors import NcsError, TrainingError

_ERROR_FILE = "NCS_WORKER_ERROR"


class Cluster:
    """The workers that train together; this one is alone."""

    rank = 0
    size = 1

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all workers."""
        return tensor

    def concatenate(self, tensor: Tensor) -> Tensor:
        """All workers' tensors behind each other, by rank; lengths of the first dimension may differ."""
        return tensor

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the tensors by those of rank 0."""

    def agree(self, answer: int) -> int:
        """Rank 0's answer, yes, no or a number, on every worker."""
        return answer


class _Horovod(Cluster):
    """Horovod's collectives. Every worker has to call them in the same order.

    They are named by what they carry: nameless ones would be new to Horovod each time, and fill its cache.
    """

    def __init__(self) -> None:
        import horovod.torch as hvd

        hvd.init()
        self._hvd = hvd
        self.rank, self.size = hvd.rank(), hvd.size()

    def sum(self, tensor: Tensor) -> Tensor:
        return self._hvd.allreduce(tensor, op=self._hvd.Sum, name=f"sum {tensor.dtype} {list(tensor.shape)}")

    def concatenate(self, tensor: Tensor) -> Tensor:
        return self._hvd.allgather(tensor, name=f"concatenate {tensor.dtype} {list(tensor.shape[1:])}")

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            self._hvd.broadcast_(tensor.data, root_rank=0, name=f"broadcast {tensor.dtype} {list(tensor.shape)}")

    def agree(self, answer: int) -> int:
        return int(self._hvd.broadcast(torch.tensor([int(answer)]), root_rank=0, name="agree").item())


def connect() -> Cluster:
    """The cluster that this process was launched in, or one of this process alone."""
    return _Horovod() if launched() else Cluster()


def launched() -> bool:
    """Whether Horovod's launcher started this process."""
    return "HOROVOD_RANK" in os.environ


def launch(workers: int, command: Sequence[str], log: Path) -> None:
    """Run a command once for each of `workers` local workers, with gloo, and wait for them.

    What they print goes to `log`; what rank 0 says passes through to standard error. Raises TrainingError with the
    message of the worker that failed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        error = Path(folder) / "error"
        horovodrun = [sys.executable, "-m", "horovod.runner.launch", "-np", str(workers)]
        horovodrun += ["-H", f"localhost:{workers}", "--gloo", "--network-interfaces", "lo", *command]
        process = subprocess.Popen(
            horovodrun,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, _ERROR_FILE: str(error)},
        )
        assert process.stdout is not None
        try:
            with log.open("w") as file:
                for line in process.stdout:
                    file.write(line)
                    if "[0]<stderr>:" in line:
                        sys.stderr.write(line.partition("[0]<stderr>:")[2])
            if process.wait():
                raise TrainingError(_reason(error, log))
        finally:
            process.terminate()


def report_failure(err: NcsError) -> None:
    """In a worker: leave the message for whoever launched it."""
    if path := os.environ.get(_ERROR_FILE):
        Path(path).write_text(str(err))


def _reason(error: Path, log: Path) -> str:
    if error.exists():
        return error.read_text()
    last = [line for line in log.read_text().splitlines() if line.strip()][-1:]
    return f"a worker died: {''.join(last)} (all of it in {log}); the same command goes on from the last epoch"
