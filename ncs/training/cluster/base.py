"""What training asks of the workers that train together, whatever carries the messages between them."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

import torch
from torch import Tensor

from ncs.errors import TrainingError

_BEAT_SECONDS = 1.0
"""How often workers that work apart tell each other that they are still there."""
STALL_SECONDS = "NCS_STALL_SECONDS"
"""The environment variable that tells a worker how long to wait for another."""


class LostError(TrainingError):
    """Another worker is gone or does not answer: those that are left can go on from the last checkpoint."""


class Cluster:
    """The workers that train together; this one is alone. Every worker has to call the collectives in one order.

    Tensors may lie on any device, and what comes back lies there too: messages travel between the hosts' memories.
    """

    rank = 0
    size = 1
    local_size = 1
    """Workers on this machine."""
    local_rank = 0
    """This worker's number among them."""
    cores: int | None = None
    """Those that it keeps to; None: to all."""
    parts = 1
    """The equal parts that all workers are in, this cluster being one of them."""
    number = 0
    """Which of the parts it is."""

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all workers."""
        return self.all_reduce_async(tensor)()

    def all_reduce_async(self, tensor: Tensor) -> Callable[[], Tensor]:
        """Send a tensor off; what comes back waits for the sum over all workers."""
        return lambda: tensor

    def all_gather(self, tensor: Tensor) -> Tensor:
        """All workers' tensors behind each other, by rank; lengths of the first dimension may differ."""
        return tensor

    def all_to_all(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Tensor n for worker n -> what each worker has for this one, by rank; lengths may differ as above."""
        return list(tensors)

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the tensors by those of rank 0."""
        for tensor in tensors:
            host = tensor.detach().cpu()
            self._broadcast(host)
            if not tensor.is_cpu:
                tensor.data.copy_(host)

    def broadcast_value(self, answer: int) -> int:
        """Rank 0's answer, yes, no or a number, on every worker."""
        given = torch.tensor([int(answer)])
        self._broadcast(given)
        return int(given.item())

    def _broadcast(self, tensor: Tensor) -> None:
        """Overwrite a tensor in host memory by that of rank 0."""

    def part(self, parts: int) -> "Cluster | None":
        """The cluster of this worker's part, where all go into `parts` equal ones of consecutive ranks.

        None where they cannot. All workers have to call it, and `connect` has to know of so many parts.
        """
        ranks = ranks_of_parts(self.size, parts)
        if len(ranks) < 2:
            return None
        number = self.rank // len(ranks[0])
        part = self._within(ranks, number) if len(ranks[0]) > 1 else Cluster()
        part.rank, part.size = ranks[number].index(self.rank), len(ranks[number])
        part.local_size, part.local_rank = self.local_size, self.local_rank
        part.parts, part.number = parts, number
        return part

    def _within(self, ranks: Sequence[range], number: int) -> "Cluster":
        """The collectives of part `number`, for each part's ranks; asked for by all workers."""
        raise NotImplementedError

    @contextmanager
    def meeting(self) -> Iterator[None]:
        """What workers do apart, without this cluster's collectives; ends once all of them have done it.

        However long that takes: meanwhile a thread hears from all others each second, and so that one is lost. Raises
        LostError then, at the end; nobody waits for a worker that has raised an error.
        """
        done, failed = Event(), Event()
        with ThreadPoolExecutor(1, thread_name_prefix="meeting") as thread:
            met = thread.submit(self._meet, done, failed)
            try:
                yield
            except BaseException:
                failed.set()
                raise
            done.set()
            met.result()

    def _meet(self, done: Event, failed: Event) -> None:
        while not failed.is_set() and self.sum(torch.tensor([int(done.is_set())])) < self.size:
            done.wait(_BEAT_SECONDS)


def ranks_of_parts(size: int, parts: int) -> list[range]:
    """The ranks of each of so many equal parts of consecutive workers; none where they cannot be equal."""
    each = size // parts
    return [range(n * each, (n + 1) * each) for n in range(parts)] if size % parts == 0 else []


@contextmanager
def answered(failure: type[Exception]) -> Iterator[None]:
    """Turn a backend's failure to reach the other workers into a LostError."""
    try:
        yield
    except failure as err:
        reason = (str(err).strip().splitlines() or [""])[0]
        raise LostError(f"another worker is gone, or has not answered within launch.stall_seconds ({reason})") from None


@dataclass(frozen=True)
class Launcher:
    """A program that starts a command once for each worker."""

    command: Callable[[Mapping[str, int], int, str | None], list[str]]
    """Host -> slots, the workers, the network interface -> its command line, to which the worker's is appended."""
    rank_0: str
    """What the lines that rank 0 says to standard error begin with."""
    first_to_fail: re.Pattern[str]
    """Where its output tells the rank of the first worker that failed, and its exit code."""
