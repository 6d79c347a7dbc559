"""The collectives that training needs, and what a launcher is, whatever backend carries the messages."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event

import torch
from torch import Tensor

from ncs.errors import TrainingError, first_line

_BEAT_SECONDS = 1.0
"""How often subgroups that work apart signal that they are alive."""
STALL_SECONDS = "NCS_STALL_SECONDS"
"""The environment variable with the seconds that a worker waits for another."""


class LostError(TrainingError):
    """Another worker is gone or does not answer: the others can continue from the last checkpoint."""


class Cluster:
    """A single worker; backends derive from it. All workers have to call the collectives in the same order.

    Tensors may be on any device, and results are on the same one: messages travel through host memory.
    """

    rank = 0
    size = 1
    local_size = 1
    """Workers on this machine."""
    local_rank = 0
    """This worker's number among them."""
    cores: int | None = None
    """The cores that it is bound to; None: all."""
    subgroups = 1
    """The equal subgroups of all workers; this cluster is one of them."""
    subgroup_number = 0
    """Which of the subgroups it is."""

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over all workers."""
        return self.all_reduce_async(tensor)()

    def all_reduce_async(self, tensor: Tensor) -> Callable[[], Tensor]:
        """Start the sum of a tensor over all workers; the result waits for it."""
        return lambda: tensor

    def all_gather(self, tensor: Tensor) -> Tensor:
        """All workers' tensors concatenated by rank; lengths of the first dimension may differ."""
        return tensor

    def all_to_all(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Send tensor n to worker n -> the tensors sent to this one, by rank; lengths may differ as above."""
        return list(tensors)

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite the tensors by those of rank 0."""
        for tensor in tensors:
            host = tensor.detach().cpu()
            self._broadcast(host)
            if not tensor.is_cpu:
                tensor.data.copy_(host)

    def broadcast_value(self, value: int) -> int:
        """Rank 0's number, or bool, on every worker."""
        tensor = torch.tensor([int(value)])
        self._broadcast(tensor)
        return int(tensor.item())

    def _broadcast(self, tensor: Tensor) -> None:
        """Overwrite a tensor in host memory by that of rank 0."""

    def subgroup(self, count: int) -> "Cluster | None":
        """The cluster of this worker's subgroup, one of `count` equal ones of consecutive ranks; None if they are not.

        All workers have to call it, and `connect` has to be given that count.
        """
        ranks = subgroup_ranks(self.size, count)
        if len(ranks) < 2:
            return None
        number = self.rank // len(ranks[0])
        subgroup = self._new_subgroup(ranks, number) if len(ranks[0]) > 1 else Cluster()
        subgroup.rank, subgroup.size = ranks[number].index(self.rank), len(ranks[number])
        subgroup.local_size, subgroup.local_rank = self.local_size, self.local_rank
        subgroup.subgroups, subgroup.subgroup_number = count, number
        return subgroup

    def _new_subgroup(self, ranks: Sequence[range], number: int) -> "Cluster":
        """Subgroup `number` with its collectives, by the ranks of each; called by all workers."""
        raise NotImplementedError

    @contextmanager
    def meeting(self) -> Iterator[None]:
        """A block in which subgroups work apart, without this cluster's collectives; ends once all have finished.

        However long that takes: a thread exchanges heartbeats with all others each second, and so notices a lost one.
        Raises LostError then, at the end; nobody waits for a worker that has raised an error.
        """
        done, failed = Event(), Event()
        with ThreadPoolExecutor(1, thread_name_prefix="meeting") as thread:
            heartbeat = thread.submit(self._heartbeat, done, failed)
            try:
                yield
            except BaseException:
                failed.set()
                raise
            done.set()
            heartbeat.result()

    def _heartbeat(self, done: Event, failed: Event) -> None:
        while not failed.is_set() and self.sum(torch.tensor([int(done.is_set())])) < self.size:
            done.wait(_BEAT_SECONDS)


def subgroup_ranks(size: int, count: int) -> list[range]:
    """The ranks of each of `count` equal subgroups of consecutive workers; none where they cannot be equal."""
    each = size // count
    return [range(n * each, (n + 1) * each) for n in range(count)] if size % count == 0 else []


@contextmanager
def lost_on(failure: type[Exception]) -> Iterator[None]:
    """Turn a backend's failure to reach the other workers into a LostError."""
    try:
        yield
    except failure as err:
        raise LostError(
            f"another worker is gone, or has not answered within launch.stall_seconds ({first_line(err)})"
        ) from None


@dataclass(frozen=True)
class Launcher:
    """A program that starts a command once for each worker."""

    command: Callable[[Mapping[str, int], int, str | None], list[str]]
    """Host -> slots, number of workers, network interface -> command line, to which the worker's is appended."""
    rank_0: str
    """The prefix of the lines that rank 0 writes to standard error."""
    first_to_fail: re.Pattern[str]
    """Finds the rank of the first worker that failed, and its exit code, in the launcher's output."""
