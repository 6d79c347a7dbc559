"""Where a training step's time goes, for dense and masked models.

.venv-bench/bin/python -m bench.profile [--steps 100] [--ids 211000] [--threads 1]
"""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import pyarrow  # noqa: F401  (before torch: the other order has crashed)
import torch
from torch import nn

from bench.ours import ours
from bench.work import RATES, Work
from ncs.nets.model import Model
from ncs.training.cluster import Cluster
from ncs.training.optim import MaskedAdam

PARTS = ("feed", "embedding", "cross", "FC", "backward", "communication", "optimiser")
MODELS = (("mmoe", False), ("layer_share", False), ("connection_share", False), ("connection_share", True))


class Clock(Cluster):
    """Seconds of each part of each step; as the cluster, it sees what goes through communication.

    CPU time: on busy cores long parts are interrupted and short ones are not. Waiting for the loader takes none.
    """

    def __init__(self) -> None:
        self.steps: dict[str, list[float]] = defaultdict(list)
        self._now: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time that goes to a part."""
        now = time.perf_counter if name == "feed" else time.process_time
        started = now()
        yield
        self._now[name] += now() - started

    def all_reduce_async(self, tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
        """The sum over the workers, timed."""
        with self.part("communication"):
            return super().all_reduce_async(tensor)

    def watch(self, module: nn.Module, name: str) -> None:
        """Time of a module's forward passes."""
        module.register_forward_pre_hook(lambda *_: setattr(module, "_started", time.process_time()))
        module.register_forward_hook(lambda *_: self._add(name, time.process_time() - module._started))

    def _add(self, name: str, seconds: float) -> None:
        self._now[name] += seconds

    def end_step(self) -> None:
        """Close the books of a step: what of the forward pass is neither embedding nor cross is FC layers.

        Where one layer alone reads the crosses it makes them itself, and they count as its own.
        """
        now = self._now
        now["FC"] = now.pop("forward") - now["embedding"] - now["cross"]
        now["optimiser"] -= now["communication"]
        for name in PARTS:
            self.steps[name].append(now[name])
        now.clear()


def profile(net: Model, work: Work, conf: Any, steps: int) -> dict[str, float]:
    """The median seconds of each part of a step."""
    clock = Clock()
    for module in net.modules():
        name = {"FieldEmbedding": "embedding", "KroneckerProducts": "cross"}.get(type(module).__name__)
        if name:
            clock.watch(module, name)
    optimizer = MaskedAdam(net, clock, *RATES)
    batches = (batch for epoch in range(1000) for batch in work.loader(conf).epoch(epoch))
    for n, task in zip(range(steps + 5), cycle(net.tasks), strict=False):
        with clock.part("feed"):
            batch = next(batches)
        with clock.part("forward"):
            loss = net.loss(batch, task) / batch.total
        with clock.part("backward"):
            loss.backward()
        with clock.part("optimiser"):
            optimizer.step(net.masks(task))
        clock.end_step()
        if n == 4:
            clock.steps.clear()  # decoding and first touches
    return {name: statistics.median(clock.steps[name]) for name in PARTS}


def main() -> None:
    """Print the shares as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--ids", type=int, default=211_000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"| model | ms a step | {' | '.join(PARTS)} |\n|{'---|' * (len(PARTS) + 2)}")
    with tempfile.TemporaryDirectory() as folder:
        work = Work.make(Path(folder), args.ids, 2048 * 50, 0)
        for model, masked in MODELS:
            one = ours(model, work, masked=masked)
            seconds = profile(one.net, work, work.conf(model), args.steps)
            whole = sum(seconds.values())
            shares = " | ".join(f"{seconds[name] / whole:.1%}" for name in PARTS)
            print(f"| {one.name} | {whole * 1000:.2f} | {shares} |", flush=True)


if __name__ == "__main__":
    main()
