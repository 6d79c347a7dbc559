"""What a step sends and takes on 1 to 64 workers, from what one worker takes here and what a network is said to do.

    .venv/bin/python -m bench.predict --gbit 10 --latency-ms 0.1

A step of n workers is modelled as one worker's, and added to it: the rows of the embedding table that come from others
(an equal time a row), the bytes that a worker receives by its network's rate, and the latency of each message. A ring
sends a dense vector in 2 (n - 1) messages, gathers and all-to-alls take n - 1. Nothing is taken to overlap, and no
worker to be slower than another.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import pyarrow  # noqa: F401  (before torch: the other order has crashed)
import torch

from bench.scaling import drawn, made
from ncs.data_loading import Batch, Features
from ncs.models.layer_share import LayerShare
from ncs.nets.embedding import unique_rows
from ncs.training.cluster import Cluster
from ncs.training.hardware import keep_freed_memory
from ncs.training.optim import MaskedAdam, coalesce
from ncs.training.row_optim import LazyAdam

WORKERS = (1, 2, 4, 8, 16, 32, 64)
ID, NUMBER = 8, 4
"""Bytes."""


@dataclass(frozen=True)
class Measured:
    """A step of one worker."""

    seconds: float
    row_seconds: float
    """Of a row's gradient and its optimiser."""
    rows: int
    """Different rows of the embedding table in a batch."""
    width: int
    dense: int
    """Bytes of the dense gradients."""

    @classmethod
    def here(cls, ids: int, batch: int, steps: int) -> "Measured":
        """Take the time."""
        net, sizes = made("layer_share", ids, Cluster(), "replicated")
        embedding = cast(LayerShare, net).inputs.embedding
        optimizer = MaskedAdam(net, Cluster(), 0.001, 0.004)
        batches = drawn(sizes, batch, seed=0)
        labels = {task: torch.rand(batch) for task in net.tasks}
        tasks = list(net.tasks)

        def step(n: int) -> None:
            task = tasks[n % len(tasks)]
            (net.loss(Batch(Features.of_ids(batches[n % 8]), labels, batch), task) / batch).backward()
            optimizer.step(net.masks(task))

        rows = [unique_rows((one + embedding.offsets).flatten())[0] for one in batches]
        few = int(statistics.mean(map(len, rows)))
        adam = LazyAdam(embedding.table, 0.004)

        def move(workers: int) -> Callable[[int], None]:
            of_all = torch.cat([rows[n] for n in range(workers)])
            gradient = torch.randn(len(of_all), embedding.width)
            return lambda _: adam.step(*coalesce(of_all, gradient))

        with torch.no_grad():
            more = _median(move(8), steps) - _median(move(1), steps)
        moved = sum(len(one) for one in rows[1:])
        used = sum(weight.numel() for weight in cast(LayerShare, net).towers[tasks[0]].parameters())
        return cls(_median(step, steps), more / moved, few, embedding.width, used * NUMBER)


@dataclass(frozen=True)
class Network:
    """What a worker's connection does."""

    bytes_a_second: float
    latency: float


def bytes_received(one: Measured, workers: int, embeddings: str) -> float:
    """By each worker, a step."""
    others = (workers - 1) / workers
    row = one.width * NUMBER
    if embeddings == "replicated":  # the rows of all others, each with its number
        return 2 * others * one.dense + (workers - 1) * one.rows * (row + ID)
    return 2 * others * one.dense + others * one.rows * (ID + row + row + ID)  # asked for, given, and gradients


def seconds(one: Measured, network: Network, workers: int, embeddings: str) -> float:
    """Of a step."""
    rows = (workers - 1) * one.rows if embeddings == "replicated" else 0  # an owner has as many as it has sent out
    messages = (workers - 1) * (2 + (1 if embeddings == "replicated" else 3))
    sent = bytes_received(one, workers, embeddings) / network.bytes_a_second
    return one.seconds + rows * one.row_seconds + sent + messages * network.latency


def table(one: Measured, network: Network, batch: int, samples: float) -> Iterator[str]:
    """As Markdown."""
    yield "| workers | embeddings | MB received a step | ms a step | samples/s | times one worker's | hours |"
    yield "|---|---|---|---|---|---|---|"
    for workers in WORKERS:
        for embeddings in ("replicated", "sharded") if workers > 1 else ("replicated",):
            taken, received = seconds(one, network, workers, embeddings), bytes_received(one, workers, embeddings)
            rate = workers * batch / taken
            times, hours = rate * one.seconds / batch, samples / rate / 3600
            yield (
                f"| {workers} | {embeddings} | {received / 1e6:.2f} | {1000 * taken:.1f} | {rate:,.0f} "
                f"| {times:.1f} | {hours:.1f} |"
            )


def _median(do: Callable[[int], None], times: int) -> float:
    found = []
    for n in range(times + 3):
        started = time.perf_counter()
        do(n)
        found.append(time.perf_counter() - started)
    return statistics.median(found[3:])


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=2048, help="rows of a worker's part")
    parser.add_argument("--ids", type=int, default=2_000_000, help="rows of the embedding table here")
    parser.add_argument("--steps", type=int, default=60, help="that the measurements take the median of")
    parser.add_argument("--gbit", type=float, default=10, help="of a worker's connection, a second")
    parser.add_argument("--latency-ms", type=float, default=0.1, help="of a message")
    parser.add_argument("--samples", type=float, default=3e9, help="rows that all passes together draw")
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    one = Measured.here(args.ids, args.batch, args.steps)
    print(
        f"one worker: {1000 * one.seconds:.1f} ms a step of {args.batch} rows, {one.rows} rows of the table in it, "
        f"{1e9 * one.row_seconds:.0f} ns for each more; {one.dense / 1e3:.0f} kB of dense gradients\n"
    )
    network = Network(args.gbit * 1e9 / 8, args.latency_ms / 1000)
    print("\n".join(table(one, network, args.batch, args.samples)))


if __name__ == "__main__":
    main()
