"""All of Horovod: its collectives, and horovodrun. No other file of `ncs` says `hvd`."""

import re
import sys
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ncs.training.cluster.base import Cluster, answered
from ncs.training.cluster.launcher import Launcher


class _Horovod(Cluster):
    """Horovod's collectives, over gloo.

    They are named by what they carry: nameless ones would be new to Horovod each time, and fill its cache.
    """

    def __init__(self) -> None:
        import horovod.torch as hvd
        from horovod.common.exceptions import HorovodInternalError

        self._hvd, self._failure = hvd, HorovodInternalError
        with answered(self._failure):
            hvd.init()
        self.rank, self.size = hvd.rank(), hvd.size()
        self.local_size, self.local_rank = hvd.local_size(), hvd.local_rank()

    def sum(self, tensor: Tensor) -> Tensor:
        with answered(self._failure):
            name = f"sum {tensor.dtype} {list(tensor.shape)}"
            return self._hvd.allreduce(tensor.cpu(), op=self._hvd.Sum, name=name).to(tensor.device)

    def concatenate(self, tensor: Tensor) -> Tensor:
        with answered(self._failure):
            name = f"concatenate {tensor.dtype} {list(tensor.shape[1:])}"
            return self._hvd.allgather(tensor.cpu(), name=name).to(tensor.device)

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        with answered(self._failure):
            for tensor in tensors:
                host = tensor.detach().cpu()
                self._hvd.broadcast_(host, root_rank=0, name=f"broadcast {tensor.dtype} {list(tensor.shape)}")
                if not tensor.is_cpu:
                    tensor.data.copy_(host)

    def agree(self, answer: int) -> int:
        with answered(self._failure):
            return int(self._hvd.broadcast(torch.tensor([int(answer)]), root_rank=0, name="agree").item())


def connect() -> Cluster:
    """The cluster that Horovod's launcher started this process in."""
    return _Horovod()


def _command(hosts: Mapping[str, int], workers: int, network: str | None) -> list[str]:
    places = ",".join(f"{host}:{slots}" for host, slots in hosts.items())
    interface = ["--network-interfaces", network] if network else []
    return [sys.executable, "-m", "horovod.runner.launch", "-np", str(workers), "-H", places, "--gloo", *interface]


HOROVODRUN = Launcher(_command, "[0]<stderr>:", re.compile(r"Process name: (\d+)\s+Exit code: (-?\d+)"))
