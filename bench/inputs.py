"""What statistics and histories cost: training steps of LayerShare on the same rows, each with more inputs, 1 thread.

.venv/bin/python -m bench.inputs                    # the last part of make bench
.venv/bin/python -m bench.inputs --rows 500000 --last 100
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from deltalake import write_deltalake

from bench.work import RATES, ROOT
from ncs import config
from ncs.config import Config
from ncs.data_loading import Snapshot, TableLoader
from ncs.days import Days
from ncs.lake.layout import Lake
from ncs.models import build
from ncs.tasks import named_tasks
from ncs.training.cluster import Cluster
from ncs.training.optim import MaskedAdam

TABLE, DAY = "gold/ctr_samples", date(2022, 4, 8)
SIZES = {"user_id": 100_000, "video_id": 20_000, "author_id": 5_000, "scene": 10}
SIDES = {"user_id": "user", "video_id": "video", "author_id": "video", "scene": "context"}
FIELDS = ", ".join(f"{name}: {{side: {side}, encode: vocabulary}}" for name, side in SIDES.items())
BY = ("user_id", "video_id", "author_id")
STATISTICS = "statistics=[" + ", ".join(f"{{by: [{by}], of: [clicked, cvr, impressions]}}" for by in BY) + "]"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="of an epoch")
    parser.add_argument("--last", type=int, default=50, help="videos of a history")
    args = parser.parse_args()
    torch.set_num_threads(1)
    kinds = {
        "four ids": [],
        "and nine statistics": [STATISTICS],
        **{
            f"and two histories of {args.last}, {pooling}": [STATISTICS, history(args.last, pooling)]
            for pooling in ("mean", "attention")
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake.at(folder)
        widest = conf_of(*list(kinds.values())[-1])
        write(lake, widest, args.rows)
        print("| inputs | rows in | rows/s, CPU time | waiting for data |\n|---|---|---|---|")
        for name, keys in kinds.items():
            for where, memory_rows in (("memory", 10**9), ("streamed", 0)):
                rate, waiting = measure(lake, conf_of(*keys), memory_rows)
                print(f"| {name} | {where} | {rate:,.0f} | {waiting:.1%} |", flush=True)


def history(last: int, pooling: str) -> str:
    """The override for two histories."""
    return f"history={{clicked: {{of: [video_id, author_id], last: {last}, pooling: {pooling}}}}}"


def conf_of(*overrides: str) -> Config:
    """LayerShare of the demo's size on four fields, and what the overrides add."""
    keys = [f"fields={{{FIELDS}}}", "statistics=[]", "history={}", *overrides]
    return config.load(Path(ROOT) / "conf" / "demo.yaml", keys).for_model("layer_share")


def write(lake: Lake, conf: Config, rows: int) -> None:
    """Rows at random, histories of all lengths."""
    random = np.random.default_rng(0)

    def column(name: str, length: int, size: int) -> pa.Array:
        ids = random.integers(0, size, size=(rows, length)).astype(np.int32)
        ids[np.arange(length) >= random.integers(0, length + 1, size=(rows, 1))] = -1
        return pa.FixedSizeListArray.from_arrays(pa.array(ids.ravel()), length).cast(pa.list_(pa.int32()))

    columns = {name: random.integers(0, size, rows).astype(np.int32) for name, size in SIZES.items()}
    lists = {slot.name: column(slot.name, slot.length, SIZES[slot.table]) for slot in conf.layout.ids if slot.is_list}
    numbers = {slot.name: random.normal(size=rows).astype(np.float32) for slot in conf.layout.numbers}
    labels = {task.label: random.integers(0, 2, rows).astype(np.float32) for task in named_tasks(conf).values()}
    keys = {
        "impression_id": [str(n) for n in range(rows)],
        "day": pa.array([DAY] * rows, pa.date32()),
        "split": ["train"] * rows,
    }
    table = pa.table({**keys, **columns, **lists, **numbers, **labels})
    write_deltalake(lake.uri(TABLE), table, partition_by=["day", "split"], target_file_size=4_000_000)


def measure(lake: Lake, conf: Config, memory_rows: int) -> tuple[float, float]:
    """Rows a second of CPU time, and the share of the time that a step waits for data: of a second epoch."""
    snapshot = Snapshot.of(lake, TABLE, lake.version(TABLE), Days(DAY, DAY), "train")
    labels = {task.name: task.label for task in named_tasks(conf).values()}
    loader = TableLoader(
        snapshot, conf.layout, labels, batch_size=conf.train.batch_size, memory_rows=memory_rows, buffer_rows=50_000
    )
    net = build(conf, SIZES, seed=0)
    optimizer = MaskedAdam(net, Cluster(), *RATES)
    for epoch in range(2):
        started, cpu = time.perf_counter(), time.process_time()
        waited = sum(steps(net, optimizer, loader, epoch))
    return loader.rows / (time.process_time() - cpu), waited / (time.perf_counter() - started)


def steps(net: torch.nn.Module, optimizer: MaskedAdam, loader: TableLoader, epoch: int) -> Iterator[float]:
    """The seconds that each step of an epoch has waited for its batch."""
    batches = loader.epoch(epoch)
    while True:
        asked = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            return
        yield time.perf_counter() - asked
        (net.loss(batch, "ctr") / batch.total).backward()
        optimizer.step({})


if __name__ == "__main__":
    main()
