"""What a busy neighbour on every core costs a training, by how idle threads wait and by the number of threads.

    make bench-neighbour
    make bench-neighbour ARGS="--models layer_share --batch 256 --repeats 15"

Each setting is a process of its own that trains when it is its turn; the turns alternate, alone and beside one spinning
process a core.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.work import Work, sizes_of
from ncs.lake.layout import Lake

IDS = 211_000
WAITS = {
    "spinning": {"GOMP_SPINCOUNT": "300000"},
    "bounded": {},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}
"""The environment: libgomp's default, what `ncs` sets where nothing is set, no spinning at all."""


@dataclass
class Setting:
    """A process that trains when asked to."""

    name: str
    model: str
    threads: int
    process: "subprocess.Popen[str]"

    @classmethod
    def start(cls, wait: str, model: str, threads: int, args: argparse.Namespace, folder: str) -> "Setting":
        """Start the process and wait until it is warm."""
        own = ["--train", folder, "--models", model, "--threads", str(threads), "--batch", str(args.batch)]
        command = [sys.executable, "-m", "bench.neighbour", *own, "--rows", str(args.rows)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=kept | WAITS[wait]
        )
        setting = cls(wait, model, threads, process)
        setting.train()
        return setting

    def train(self) -> float:
        """Seconds of training a part of an epoch."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())


def train_when_asked(folder: str, model: str, threads: int, batch: int, rows: int) -> None:
    """As a setting's process: train a part of an epoch for each line of input, and write the seconds."""
    from bench.ours import ours

    import torch  # isort: skip  (after pyarrow, which the line above imports)

    torch.set_num_threads(threads)
    trainee = ours(model, Work(Lake.at(folder), sizes_of(IDS), rows), f"train.batch_size={batch}")
    trainee.prepare(rows)
    for _ in sys.stdin:
        started = time.perf_counter()
        trainee.train()
        print(time.perf_counter() - started, flush=True)


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many processes that compute without an end."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def measure(settings: list[Setting], repeats: int) -> dict[tuple[str, str, int, bool], list[float]]:
    """(setting, model, threads, whether beside neighbours) -> seconds of each turn."""
    seconds: dict[tuple[str, str, int, bool], list[float]] = {}
    for _ in range(repeats):
        for busy in (False, True):
            with neighbours(len(os.sched_getaffinity(0)) if busy else 0):
                for setting in settings:
                    key = (setting.name, setting.model, setting.threads, busy)
                    seconds.setdefault(key, []).append(setting.train())
    return seconds


def table(seconds: dict[tuple[str, str, int, bool], list[float]], rows: int) -> str:
    """Medians as Markdown, and the medians of the turns' ratios to the model's first row alone, and to itself alone."""
    titles = (
        "model",
        "threads",
        "waiting",
        "rows/s alone",
        "beside neighbours",
        "times as long",
        "alone, to first row",
    )
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    first: dict[str, list[float]] = {}
    for name, model, threads, busy in seconds:
        if busy:
            continue
        alone, beside = seconds[name, model, threads, False], seconds[name, model, threads, True]
        base = first.setdefault(model, alone)
        cost = statistics.median(b / a for a, b in zip(alone, beside, strict=True))
        to_first = statistics.median(a / b for a, b in zip(alone, base, strict=True))
        rates = " | ".join(f"{rows / statistics.median(taken):,.0f}" for taken in (alone, beside))
        lines.append(f"| {model} | {threads} | {name} | {rates} | {cost:.2f} | {to_first:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print a table; or train, as one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["layer_share", "connection_share"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--waits", nargs="+", choices=list(WAITS), default=list(WAITS))
    parser.add_argument("--batch", type=int, default=1024, help="rows of a batch (default: conf/base.yaml's)")
    parser.add_argument("--rows", type=int, default=20_480, help="rows of a turn")
    parser.add_argument("--repeats", type=int, default=9, help="turns of each, in alternation")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--train", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.train:
        train_when_asked(args.train, args.models[0], args.threads[0], args.batch, args.rows)
        return
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        Work.make(Path(folder), IDS, args.rows, 0)
        settings = [
            Setting.start(wait, model, threads, args, folder)
            for model in args.models
            for wait in args.waits
            for threads in args.threads
        ]
        for setting in settings:
            stack.callback(setting.process.kill)
        seconds = measure(settings, args.repeats)
    print(table(seconds, args.rows))
    if args.json:
        args.json.write_text(json.dumps([[*key, taken] for key, taken in seconds.items()], indent=1))


if __name__ == "__main__":
    main()
