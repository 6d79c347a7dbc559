"""How the rate of training falls as embedding tables grow: the same models at each size, in turns, 1 thread.

.venv-bench/bin/python -m bench.sizes                     # the second part of make bench
.venv-bench/bin/python -m bench.sizes --ids 100000 10000000 --repeats 9
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import pyarrow  # noqa: F401  (before torch: the other order has crashed)
import torch

from bench.ours import Ours, both_losses, ours
from bench.work import Work

ROWS = 200_000
"""Of an epoch: what a step costs does not depend on how many there are."""


def main() -> None:
    """Measure and print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--part", type=int, default=51_200, help="rows of a measurement")
    parser.add_argument("--repeats", type=int, default=9, help="measurements of each, in alternation")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        works = {ids: Work.make(Path(folder, str(ids)), ids, ROWS, 1000) for ids in args.ids}
        for make in (lambda work: both_losses("mmoe", work), lambda work: ours("connection_share", work, masked=True)):
            print(table({ids: make(work) for ids, work in works.items()}, args.part, args.repeats), flush=True)


def table(at_size: dict[int, Ours], part: int, repeats: int) -> str:
    """As Markdown; ratios are to the first size, by pairs of one turn, the median: of wall and of CPU time."""
    rates: dict[int, list[tuple[float, float]]] = {ids: [] for ids in at_size}
    for one in at_size.values():
        one.prepare(part)
        one.train()  # warms up
    for _ in range(repeats):
        for ids, one in at_size.items():
            wall, cpu = time.perf_counter(), time.process_time()
            one.train()
            rates[ids].append((part / (time.perf_counter() - wall), part / (time.process_time() - cpu)))
    first, *_ = rates.values()
    name = next(iter(at_size.values())).name
    lines = [f"\n| {name} | samples/s: median | min | max | ratio | ratio, CPU time |", "|---|---|---|---|---|---|"]
    for ids, found in rates.items():
        wall_rates = [wall for wall, _ in found]
        ratios = (statistics.median(own[n] / one[n] for own, one in zip(found, first, strict=True)) for n in (0, 1))
        middle, low, high = statistics.median(wall_rates), min(wall_rates), max(wall_rates)
        lines.append(
            f"| {ids:,} ids | {middle:,.0f} | {low:,.0f} | {high:,.0f} | {' | '.join(f'{r:.2f}' for r in ratios)} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
