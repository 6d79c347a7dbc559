"""Training speed beside the peers': the same rows, the same nets, one after another in one run.

make bench                                                # all sizes; minutes on idle cores
make bench-gpu                                            # the same on a GPU
.venv-bench/bin/python -m bench.peers --ids 211000 --threads 1 --json peers.json
"""

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow  # noqa: F401  (before torch: the other order has crashed)
import torch

from bench.deepctr import DeepCtr
from bench.ours import Ours, both_losses, ours
from bench.rechub import Rechub
from bench.work import Work
from ncs.errors import TrainingError
from ncs.metrics import METRICS, auc
from ncs.training.hardware import select_device

SMALLEST = 211_000
"""Ids of the size at which everything is measured; larger tables are measured with the peers' MMoE alone."""


class Trainee(Protocol):
    """Somebody who trains a architecture on the work."""

    name: str

    def prepare(self, rows: int) -> None:
        """Make what an epoch of so many rows is fed from; no part of what is measured."""

    def train(self) -> None:
        """An epoch of what was prepared."""

    def predict(self, ids: dict[str, np.ndarray]) -> np.ndarray:
        """Both tasks' predictions [rows, 2]."""


def main() -> None:
    """Measure, print a table, and write the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ids", type=int, nargs="+", default=[SMALLEST, 2_000_000, 10_000_000])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rows", type=int, default=500_000, help="of an epoch")
    parser.add_argument("--part", type=int, default=102_400, help="rows of a measurement")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each, in alternation")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where all of them train")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    args = parser.parse_args()
    try:
        select_device(args.device, 0)
    except TrainingError as err:
        sys.exit(f"bench: {err}")
    figures = []
    for ids in args.ids:
        with tempfile.TemporaryDirectory() as folder:
            work = Work.make(Path(folder), ids, args.rows, 50_000, args.device)
            for threads in args.threads:
                torch.set_num_threads(threads)
                measured = measure(work, ids, args.part, args.repeats, quality=threads == args.threads[0])
                figures += [{"ids": ids, "threads": threads, "device": args.device, **one} for one in measured]
                print(table(figures, ids, threads), flush=True)
                if args.json:
                    args.json.write_text(json.dumps(figures, indent=1))


def measure(work: Work, ids: int, part: int, repeats: int, quality: bool) -> list[dict[str, Any]]:
    """Rates of all trainees, taken in turns; at the smallest size with what they predict after a whole epoch."""
    trainees = [make() for make in field(work, ids)]
    small = ids == SMALLEST
    part = part if small else part // 2
    rates: dict[str, list[float]] = {one.name: [] for one in trainees}
    rate_of_cpu: dict[str, list[float]] = {one.name: [] for one in trainees}
    scores = {one.name: _scores(one, work) if quality and small else {} for one in trainees}
    for one in trainees:
        one.prepare(part)
        one.train()  # warms up; nothing is measured
        _finished(work.device)
    products = []
    for _ in range(repeats):
        products.append(_matrix_rate(work.device))
        for one in trainees:
            wall, cpu = time.perf_counter(), time.process_time()
            one.train()
            _finished(work.device)
            rates[one.name].append(part / (time.perf_counter() - wall))
            rate_of_cpu[one.name].append(part / (time.process_time() - cpu))
    multiplied = statistics.median(products)
    found = []
    for one in trainees:
        share = one.operations() * statistics.median(rates[one.name]) / multiplied if isinstance(one, Ours) else None
        found.append(
            {
                "name": one.name,
                "samples_a_second": rates[one.name],
                "samples_a_cpu_second": rate_of_cpu[one.name],
                "share_of_matrix_rate": share,
                "wait_share": one.waited if isinstance(one, Ours) else None,
                **scores[one.name],
            }
        )
    del trainees
    gc.collect()
    return found


def field(work: Work, ids: int) -> list[Callable[[], Trainee]]:
    """Who is measured: all of them at the smallest size, MMoE and one masked model at the others."""
    columns, labels = work.arrays("train")
    peers = [(peer, cut) for peer in (Rechub, DeepCtr) for cut in ((False, True) if ids == SMALLEST else (True,))]
    architectures = ("mmoe", "shared_bottom") if ids == SMALLEST else ("mmoe",)
    dense = ("mmoe", "layer_share", "connection_share") if ids == SMALLEST else ()
    return [
        *(partial(both_losses, architecture, work) for architecture in architectures),
        *(
            partial(peer, architecture, work, columns, labels, cut)
            for architecture in architectures
            for peer, cut in peers
        ),
        *(partial(ours, name, work) for name in dense),
        partial(ours, "connection_share", work, masked=True),
    ]


def _scores(one: Trainee, work: Work) -> dict[str, float]:
    """CTR AUC and CVR MSE on the test rows after an epoch of all rows."""
    one.prepare(work.rows)
    started = time.perf_counter()
    one.train()
    _finished(work.device)
    seconds = time.perf_counter() - started
    ids, labels = work.arrays("test")
    predicted = one.predict(ids)
    return {
        "auc": auc(labels[:, 0], predicted[:, 0]),
        "mse": METRICS["mse"].figure(labels[:, 1], predicted[:, 1]),
        "first": seconds,
    }


def _finished(device: str) -> None:
    """Wait for what a GPU was given to do."""
    if device == "cuda":
        torch.cuda.synchronize()


def _matrix_rate(device: str, size: int = 1024, repeats: int = 7) -> float:
    """Floating-point operations a second of a large matrix product: the median of some."""
    left, right = torch.randn(2, size, size, device=device)
    seconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        torch.mm(left, right)
        _finished(device)
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(seconds[1:])


def _gpu(device: str) -> str:
    return f", {torch.cuda.get_device_name()}" if device == "cuda" else ""


def table(figures: list[dict[str, Any]], ids: int, threads: int) -> str:
    """The figures of one size as Markdown; ratios say how many times faster our row of the architecture is."""
    rows = [one for one in figures if (one["ids"], one["threads"]) == (ids, threads)]
    both = [one for one in rows if one["name"].endswith("both losses")]
    lines = [
        f"\n{ids:,} ids, {threads} thread{'s' if threads > 1 else ''}{_gpu(rows[0]['device'])}\n",
        "| | samples/s: median | min | max | ratio | ratio, CPU time | of matrix rate | waited | CTR AUC | CVR MSE |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in rows:
        rates = one["samples_a_second"]
        median, cpu = statistics.median(rates), statistics.median(one["samples_a_cpu_second"])
        rest = [
            f"{one[key]:{form}}" if one.get(key) is not None else ""
            for key, form in (("share_of_matrix_rate", ".2f"), ("wait_share", ".1%"), ("auc", ".4f"), ("mse", ".5f"))
        ]
        like = next((row for row in both if row["name"].split()[1] == f"{_architecture(one)},"), both[0])
        first = [statistics.median(like[key]) for key in ("samples_a_second", "samples_a_cpu_second")]
        ratios = f"{first[0] / median:.2f} | {first[1] / cpu:.2f}"
        lines.append(
            f"| {one['name']} | {median:,.0f} | {min(rates):,.0f} | {max(rates):,.0f} | {ratios} | {' | '.join(rest)} |"
        )
    return "\n".join(lines)


def _architecture(one: dict[str, Any]) -> str:
    """`mmoe` of "ncs mmoe, both losses", "torch-rechub mmoe, own loader"."""
    return str(one["name"].split()[1].rstrip(","))


if __name__ == "__main__":
    main()
