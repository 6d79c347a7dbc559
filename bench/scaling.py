"""Samples a second of one and of two workers, one thread each, in turn, and what a step sends.

    make bench-workers ARGS="--launcher torch --repeats 5"
    make bench-workers ARGS="--ids 10000000 --embeddings sharded"

`batch` is each worker's part, so that the ratio is throughput's; at the ideal it is the number of workers. Beside them
are two that send each other nothing, a step being as long as the slower one's: what this machine would allow if
messages took neither time nor work.
"""

import argparse
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow  # noqa: F401  (before torch: the other order has crashed)
import torch
from torch import Tensor

from ncs import config
from ncs.data_loading import Batch, Features
from ncs.models import build
from ncs.nets.model import Model
from ncs.training import cluster
from ncs.training.cluster import Cluster
from ncs.training.hardware import keep_freed_memory
from ncs.training.optim import MaskedAdam

ROOT = Path(__file__).parent.parent
WARM = 10


@dataclass
class Sent:
    """Bytes that a worker hands to the collectives."""

    summed: int = 0
    concatenated: int = 0
    exchanged: int = 0


class Counted(Cluster):
    """A cluster that counts what it is given."""

    def __init__(self, inner: Cluster) -> None:
        self._inner, self.sent = inner, Sent()
        self.rank, self.size = inner.rank, inner.size

    def all_reduce_async(self, tensor: Tensor) -> Callable[[], Tensor]:
        """Count and pass on."""
        self.sent.summed += tensor.nbytes
        return self._inner.all_reduce_async(tensor)

    def all_gather(self, tensor: Tensor) -> Tensor:
        """Count and pass on."""
        self.sent.concatenated += tensor.nbytes
        return self._inner.all_gather(tensor)

    def all_to_all(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Count what is for others and pass on."""
        self.sent.exchanged += sum(tensor.nbytes for n, tensor in enumerate(tensors) if n != self.rank)
        return self._inner.all_to_all(tensors)


def work(out: str, model: str, batch: int, ids: int, steps: int, embeddings: str, apart: bool) -> None:
    """As a worker: train on batches that are ready, write the throughput of all; `apart` with nothing sent."""
    torch.set_num_threads(1)
    keep_freed_memory()
    together = cluster.connect()
    workers = Counted(Cluster() if apart else together)
    net, sizes = made(model, ids, workers, embeddings)
    optimizer = MaskedAdam(net, workers, 0.001, 0.004)
    batches = drawn(sizes, batch, seed=together.rank)
    random = np.random.default_rng(together.rank)
    labels = {task: torch.from_numpy(random.random(batch).round().astype(np.float32)) for task in net.tasks}
    tasks = list(net.tasks)
    ended: list[float] = []
    for step in range(WARM + steps):
        if step == WARM:
            together.sum(torch.zeros(1))
            workers.sent = Sent()
            ended = [time.perf_counter()]
        task = tasks[step % len(tasks)]
        (net.loss(Batch(Features.of_ids(batches[step % 8]), labels, batch), task) / (batch * workers.size)).backward()
        optimizer.step(net.masks(task))
        ended.append(time.perf_counter())
    took = together.all_gather(torch.tensor([ended], dtype=torch.float64).diff())
    seconds = float(took.amax(0).sum() if apart else took[0].sum())
    if together.rank == 0:
        a_step = {name: sent / steps for name, sent in asdict(workers.sent).items()}
        rate = steps * batch * together.size / seconds
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        facts = {"samples_a_second": rate, "peak_gib": peak}
        Path(out).write_text(json.dumps({**facts, **a_step}))


def made(model: str, ids: int, workers: Cluster, embeddings: str) -> tuple[Model, dict[str, int]]:
    """A model over so many ids, and the ids of each field."""
    conf = config.load(ROOT / "conf" / "demo.yaml", [f"train.embeddings={embeddings}"]).for_model(model)
    share = {name: 0.48 if name in ("user_id", "video_id") else 0.04 / (len(conf.fields) - 2) for name in conf.fields}
    sizes = {name: max(2, int(ids * part)) for name, part in share.items()}
    return build(conf, sizes, 1, workers), sizes


def drawn(sizes: dict[str, int], batch: int, seed: int) -> list[Tensor]:
    """Eight batches of ids, a few of them frequent, as in logs."""
    random = np.random.default_rng(seed)
    ids = ([random.zipf(1.2, batch) % size for size in sizes.values()] for _ in range(8))
    return [torch.from_numpy(np.stack(columns, axis=1)) for columns in ids]


def measure(workers: int, apart: bool, args: argparse.Namespace) -> dict[str, float]:
    """One launch."""
    launch = config.load(ROOT / "conf" / "demo.yaml", [f"launch.launcher={args.launcher}"]).launch
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "out.json")
        command = [sys.executable, "-m", "bench.scaling", "--work", out]
        command += ["--batch", str(args.batch), "--ids", str(args.ids), "--steps", str(args.steps)]
        command += ["--embeddings", args.embeddings, "--model", args.model, *(["--apart"] if apart else [])]
        cluster.launch(launch, workers, args.batch * workers, command, out + ".error", Path(folder) / "log")
        return json.loads(Path(out).read_text())


def main(argv: Sequence[str] | None = None) -> None:
    """Measure in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--launcher", default="horovodrun", choices=["horovodrun", "torch"])
    parser.add_argument("--model", default="layer_share")
    parser.add_argument("--batch", type=int, default=2048, help="rows of a worker's part")
    parser.add_argument("--ids", type=int, default=211_000, help="rows of the embedding table")
    parser.add_argument("--embeddings", default="replicated", choices=["replicated", "sharded"])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--work", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--apart", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.work:
        work(args.work, args.model, args.batch, args.ids, args.steps, args.embeddings, args.apart)
        return
    launches = {"1 worker": (1, False), "2 workers": (2, False), "2 that send nothing": (2, True)}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in launches}
    for _ in range(args.repeats):
        for name, (workers, apart) in launches.items():
            found[name].append(measure(workers, apart, args))
    rates = {name: [one["samples_a_second"] for one in results] for name, results in found.items()}
    print(f"{args.model}, {args.launcher}, batch {args.batch} a worker, {args.ids} ids, {args.embeddings} embeddings")
    print(f"{args.repeats} repeats, 1 thread a worker")
    for name, values in rates.items():
        last = found[name][-1]
        ratios = sorted(own / one for one, own in zip(rates["1 worker"], values, strict=True))
        print(
            f"{name:20} {statistics.median(values):9.0f} samples/s ({min(values):.0f} .. {max(values):.0f}), "
            f"times {statistics.median(ratios):.2f} ({ratios[0]:.2f} .. {ratios[-1]:.2f}), "
            f"at most {last['peak_gib']:.2f} GiB a worker"
        )
    sent = ", ".join(f"{found['2 workers'][-1][kind]:.0f} bytes {kind}" for kind in asdict(Sent()))
    print(f"a worker's step hands over: {sent}")


if __name__ == "__main__":
    main()
