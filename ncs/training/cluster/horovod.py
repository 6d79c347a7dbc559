"""All of Horovod: its collectives, and horovodrun. No other file of `ncs` says `hvd`."""

import os
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy

import torch
from torch import Tensor

from ncs.training.cluster.base import Cluster, Launcher, answered, ranks_of_parts


class _Horovod(Cluster):
    """Horovod's collectives, over gloo.

    They are named by what they carry: nameless ones would be new to Horovod each time, and fill its cache. Each process
    set has names of its own.
    """

    def __init__(self, parts: Collection[int]) -> None:
        """With a process set for each part of several workers: ones that may be added later slow every message down."""
        import horovod.torch as hvd
        from horovod.common.exceptions import HorovodInternalError

        self._hvd, self._failure = hvd, HorovodInternalError
        size = int(os.environ["HOROVOD_SIZE"])
        ranks = [one for number in sorted(parts) for one in ranks_of_parts(size, number) if 1 < len(one) < size]
        self._sets = {one: hvd.ProcessSet(one) for one in ranks}
        with answered(self._failure):
            hvd.init(process_sets=list(self._sets.values()))
        self.rank, self.size = hvd.rank(), hvd.size()
        self.local_size, self.local_rank = hvd.local_size(), hvd.local_rank()
        self._first, self._set = 0, hvd.global_process_set

    def all_reduce_async(self, tensor: Tensor) -> Callable[[], Tensor]:
        with answered(self._failure):
            name = f"sum {tensor.dtype} {list(tensor.shape)}"
            sent = self._hvd.allreduce_async(tensor.cpu(), op=self._hvd.Sum, name=name, process_set=self._set)

        def wait() -> Tensor:
            with answered(self._failure):
                return self._hvd.synchronize(sent).to(tensor.device)

        return wait

    def all_gather(self, tensor: Tensor) -> Tensor:
        with answered(self._failure):
            name = f"concatenate {tensor.dtype} {list(tensor.shape[1:])}"
            whole = self._hvd.allgather(tensor.cpu(), name=name, process_set=self._set)
        return whole.to(tensor.device)

    def all_to_all(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        lengths = torch.tensor([len(tensor) for tensor in tensors], dtype=torch.int32)
        whole = torch.cat(list(tensors))
        with answered(self._failure):
            name = f"exchange {whole.dtype} {list(whole.shape[1:])}"
            given, lengths = self._hvd.alltoall(whole.cpu(), splits=lengths, name=name, process_set=self._set)
        return list(given.to(whole.device).split(lengths.tolist()))

    def _broadcast(self, tensor: Tensor) -> None:
        with answered(self._failure):  # of a process set, too, the root is named by its rank among all workers
            name = f"broadcast {tensor.dtype} {list(tensor.shape)}"
            self._hvd.broadcast_(tensor, root_rank=self._first, name=name, process_set=self._set)

    def _within(self, ranks: Sequence[range], number: int) -> Cluster:
        part = copy(self)
        part._first, part._set = ranks[number].start, self._sets[ranks[number]]
        return part


def connect(parts: Collection[int]) -> Cluster:
    """The cluster that Horovod's launcher started this process in."""
    return _Horovod(parts)


def _command(hosts: Mapping[str, int], workers: int, network: str | None) -> list[str]:
    places = ",".join(f"{host}:{slots}" for host, slots in hosts.items())
    interface = ["--network-interfaces", network] if network else []
    return [sys.executable, "-m", "horovod.runner.launch", "-np", str(workers), "-H", places, "--gloo", *interface]


HOROVODRUN = Launcher(_command, "[0]<stderr>:", re.compile(r"Process name: (\d+)\s+Exit code: (-?\d+)"))
