"""All of torch.distributed: its collectives over gloo, and torchrun. The same as Horovod's, without Horovod."""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from ncs.training.cluster.base import Cluster, answered
from ncs.training.cluster.launcher import STALL_SECONDS, Launcher


class _Distributed(Cluster):
    """The collectives of torch.distributed, over gloo."""

    def __init__(self) -> None:
        patience = float(os.environ.get(STALL_SECONDS, 300))
        with answered(RuntimeError):
            dist.init_process_group("gloo", timeout=timedelta(seconds=patience))
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.local_size, self.local_rank = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])

    def sum(self, tensor: Tensor) -> Tensor:
        whole = tensor.to("cpu", copy=True)
        with answered(RuntimeError):
            dist.all_reduce(whole)
        return whole.to(tensor.device)

    def concatenate(self, tensor: Tensor) -> Tensor:
        """As all of a gather have to be of one length, shorter ones travel with zeros behind them."""
        lengths = self._gather(torch.tensor([len(tensor)]))
        padded = torch.zeros((int(max(lengths)), *tensor.shape[1:]), dtype=tensor.dtype)
        padded[: len(tensor)] = tensor
        parts = zip(self._gather(padded), lengths, strict=True)
        return torch.cat([part[: int(length)] for part, length in parts]).to(tensor.device)

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        with answered(RuntimeError):
            for tensor in tensors:
                host = tensor.detach().cpu()
                dist.broadcast(host, src=0)
                if not tensor.is_cpu:
                    tensor.data.copy_(host)

    def agree(self, answer: int) -> int:
        given = torch.tensor([int(answer)])
        self.broadcast([given])
        return int(given.item())

    def _gather(self, tensor: Tensor) -> list[Tensor]:
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        with answered(RuntimeError):
            dist.all_gather(parts, tensor)
        return parts


def connect() -> Cluster:
    """The cluster that torchrun started this process in."""
    return _Distributed()


def _command(hosts: Mapping[str, int], workers: int, network: str | None) -> list[str]:
    """This machine's workers: over several, torchrun is started on each of them."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers)]
    return [*torchrun, "--tee", "3", "--no-python"]


_FAILURE = re.compile(r"Root Cause.*?rank\s*:\s*(\d+).*?exitcode\s*:\s*(-?\d+)", re.DOTALL)
TORCHRUN = Launcher(_command, "[default0]:", _FAILURE)
