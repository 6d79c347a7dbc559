"""All of torch.distributed: its collectives over gloo, and torchrun."""

import atexit
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from ncs.training.cluster.base import STALL_SECONDS, Cluster, Launcher, lost_on


class _Distributed(Cluster):
    """The collectives of torch.distributed, over gloo."""

    def __init__(self) -> None:
        self._patience = timedelta(seconds=float(os.environ.get(STALL_SECONDS, 300)))
        with lost_on(RuntimeError):
            dist.init_process_group("gloo", timeout=self._patience)
        atexit.register(_leave)
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.local_size, self.local_rank = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])
        self._first, self._group = 0, dist.group.WORLD
        self._groups: dict[range, dist.ProcessGroup | None] = {}

    def all_reduce_async(self, tensor: Tensor) -> Callable[[], Tensor]:
        whole = tensor.to("cpu", copy=True)
        with lost_on(RuntimeError):
            sent = dist.all_reduce(whole, group=self._group, async_op=True)

        def wait() -> Tensor:
            with lost_on(RuntimeError):
                sent.wait()
            return whole.to(tensor.device)

        return wait

    def all_gather(self, tensor: Tensor) -> Tensor:
        """Tensors of a gather have to be equally long: shorter ones are padded with zeros."""
        lengths = self._gather(torch.tensor([len(tensor)]))
        padded = torch.zeros((int(max(lengths)), *tensor.shape[1:]), dtype=tensor.dtype)
        padded[: len(tensor)] = tensor
        gathered = zip(self._gather(padded), lengths, strict=True)
        return torch.cat([padded[: int(length)] for padded, length in gathered]).to(tensor.device)

    def all_to_all(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        sent, whole = [len(tensor) for tensor in tensors], torch.cat(list(tensors))
        counts = torch.empty(self.size, dtype=torch.int64)
        with lost_on(RuntimeError):
            dist.all_to_all_single(counts, torch.tensor(sent), group=self._group)
            lengths = counts.tolist()
            received = torch.empty((sum(lengths), *whole.shape[1:]), dtype=whole.dtype)
            dist.all_to_all_single(received, whole.cpu(), lengths, sent, group=self._group)
        return list(received.to(whole.device).split(lengths))

    def _broadcast(self, tensor: Tensor) -> None:
        with lost_on(RuntimeError):
            dist.broadcast(tensor, src=self._first, group=self._group)

    def _gather(self, tensor: Tensor) -> list[Tensor]:
        gathered = [torch.empty_like(tensor) for _ in range(self.size)]
        with lost_on(RuntimeError):
            dist.all_gather(gathered, tensor, group=self._group)
        return gathered

    def _new_subgroup(self, ranks: Sequence[range], number: int) -> Cluster:
        for members in ranks:  # all workers have to create every group
            if members not in self._groups:
                with lost_on(RuntimeError):
                    self._groups[members] = dist.new_group(list(members), timeout=self._patience)
        subgroup = copy(self)
        subgroup._first, subgroup._group = ranks[number].start, self._groups[ranks[number]]
        return subgroup


def _leave() -> None:
    """End the groups' threads: one that still runs when the process exits aborts it, as if the worker had been lost."""
    if dist.is_initialized():
        dist.destroy_process_group()


def connect() -> Cluster:
    """The cluster that torchrun started this process in."""
    return _Distributed()


def _command(hosts: Mapping[str, int], workers: int, network: str | None) -> list[str]:
    """This machine's workers: over several, torchrun is started on each of them."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers)]
    return [*torchrun, "--tee", "3", "--no-python"]


_FAILURE = re.compile(r"Root Cause.*?rank\s*:\s*(\d+).*?exitcode\s*:\s*(-?\d+)", re.DOTALL)
TORCHRUN = Launcher(_command, "[default0]:", _FAILURE)
