"""All of Horovod: its collectives over gloo, and horovodrun."""

import os
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy

import torch
from torch import Tensor

from ncs.training.cluster.base import Cluster, Launcher, lost_on, subgroup_ranks


class _Horovod(Cluster):
    """Horovod's collectives, over gloo.

    They are named by type and shape: unnamed ones would be new to Horovod each time, and fill its cache. Each process
    set has names of its own.
    """

    def __init__(self, subgroups: Collection[int]) -> None:
        """Makes a process set for each subgroup of several workers: sets added later would slow every message down."""
        import horovod.torch as hvd
        from horovod.common.exceptions import HorovodInternalError

        self._hvd, self._failure = hvd, HorovodInternalError
        size = int(os.environ["HOROVOD_SIZE"])
        subgroup = [ranks for count in sorted(subgroups) for ranks in subgroup_ranks(size, count)]
        self._sets = {ranks: hvd.ProcessSet(ranks) for ranks in subgroup if 1 < len(ranks) < size}
        with lost_on(self._failure):
            hvd.init(process_sets=list(self._sets.values()))
        self.rank, self.size = hvd.rank(), hvd.size()
        self.local_size, self.local_rank = hvd.local_size(), hvd.local_rank()
        self._first, self._set = 0, hvd.global_process_set

    def all_reduce_async(self, tensor: Tensor) -> Callable[[], Tensor]:
        with lost_on(self._failure):
            name = f"all_reduce {tensor.dtype} {list(tensor.shape)}"
            sent = self._hvd.allreduce_async(tensor.cpu(), op=self._hvd.Sum, name=name, process_set=self._set)

        def wait() -> Tensor:
            with lost_on(self._failure):
                return self._hvd.synchronize(sent).to(tensor.device)

        return wait

    def all_gather(self, tensor: Tensor) -> Tensor:
        with lost_on(self._failure):
            name = f"all_gather {tensor.dtype} {list(tensor.shape[1:])}"
            whole = self._hvd.allgather(tensor.cpu(), name=name, process_set=self._set)
        return whole.to(tensor.device)

    def all_to_all(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        lengths = torch.tensor([len(tensor) for tensor in tensors], dtype=torch.int32)
        whole = torch.cat(list(tensors))
        with lost_on(self._failure):
            name = f"all_to_all {whole.dtype} {list(whole.shape[1:])}"
            received, lengths = self._hvd.alltoall(whole.cpu(), splits=lengths, name=name, process_set=self._set)
        return list(received.to(whole.device).split(lengths.tolist()))

    def _broadcast(self, tensor: Tensor) -> None:
        with lost_on(self._failure):  # the root of a process set is its rank among all workers too
            name = f"broadcast {tensor.dtype} {list(tensor.shape)}"
            self._hvd.broadcast_(tensor, root_rank=self._first, name=name, process_set=self._set)

    def _new_subgroup(self, ranks: Sequence[range], number: int) -> Cluster:
        subgroup = copy(self)
        subgroup._first, subgroup._set = ranks[number].start, self._sets[ranks[number]]
        return subgroup


def connect(subgroups: Collection[int]) -> Cluster:
    """The cluster that Horovod's launcher started this process in."""
    return _Horovod(subgroups)


def _command(hosts: Mapping[str, int], workers: int, network: str | None) -> list[str]:
    slots = ",".join(f"{host}:{count}" for host, count in hosts.items())
    interface = ["--network-interfaces", network] if network else []
    return [sys.executable, "-m", "horovod.runner.launch", "-np", str(workers), "-H", slots, "--gloo", *interface]


HOROVODRUN = Launcher(_command, "[0]<stderr>:", re.compile(r"Process name: (\d+)\s+Exit code: (-?\d+)"))
