"""What training asks of the workers that train together, whatever carries the messages between them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor

from ncs.errors import TrainingError


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


@contextmanager
def answered(failure: type[Exception]) -> Iterator[None]:
    """Turn a backend's failure to reach the other workers into a LostError."""
    try:
        yield
    except failure as err:
        reason = (str(err).strip().splitlines() or [""])[0]
        raise LostError(f"another worker is gone, or has not answered within launch.stall_seconds ({reason})") from None
