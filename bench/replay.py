"""Days replayed with `ncs daily`: trained from nothing each day, or going on from the day before.

    .venv/bin/python -m bench.replay --conf conf/kuairand.yaml --days 2022-04-25..2022-05-03 --lake lake/replay

`ncs daily` takes the days one after another. Then each arm trains on what gold held on each day, in this process, and
scores the day after, which it has not seen. What is trained is not trained again.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow  # noqa: F401  (before torch: the other order has crashed)

from ncs import config
from ncs.config import Config, Selection
from ncs.data_loading import Snapshot, TableLoader
from ncs.days import Days
from ncs.evaluation import paired
from ncs.lake import layout, storage
from ncs.lake.layout import Lake
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from ncs.runs.training import train
from ncs.tasks import CTR, Task, named_tasks
from ncs.text import markdown
from ncs.training.cluster import Cluster

ARMS: Mapping[str, int] = {"from nothing": 1, "masks kept": 1000, "masks each 3 days": 3}
"""Arm -> `daily.scratch_every`."""
BASE, MODEL, WINDOW = "from nothing", "connection_share", 8
RESAMPLES = 400
SETTINGS = (f"window.train={WINDOW}", "window.test=0", f"daily.model={MODEL}", "train.threads=1")


@dataclass(frozen=True)
class Scored:
    """Rows that a model has not seen: labels and predictions by task, CPU seconds of the training before."""

    labels: Mapping[str, np.ndarray]
    predictions: Mapping[str, np.ndarray]
    seconds: float


def main() -> None:
    """Replay, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--conf", default="conf/kuairand.yaml", type=Path)
    parser.add_argument("--days", default="2022-04-25..2022-05-03", type=Days.parse)
    parser.add_argument("--lake", default="lake/replay", type=Path)
    asked = parser.parse_args()
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    command = ["daily", "--conf", str(asked.conf), "--days", str(asked.days), "--lake", str(asked.lake), *settings]
    subprocess.run([sys.executable, "-m", "jobs.cli", *command, "--set", "daily.scratch_every=1000"], check=True)
    conf = config.load(asked.conf, SETTINGS).with_keys({"train.models": [MODEL], "name": "replay"})
    lake = Lake.at(str(asked.lake))
    print(table(conf, {name: list(replay(lake, conf, asked.days, every)) for name, every in ARMS.items()}, asked.days))


def replay(lake: Lake, conf: Config, days: Days, every: int) -> Iterator[Scored]:
    """Train up to each day but the first and the last, from nothing each `every` days, and score the day after."""
    parent = None
    for n, (day, tomorrow) in enumerate(pairwise(list(days)[1:])):
        learnt = [one for one in days if one <= day][-WINDOW:]
        own = conf.with_keys({"window.days": Days.of(learnt)})
        run = Run(own, lake, versions(lake, own, day), parent if n % every else None)
        note = storage.join(run.folder, "cpu_seconds.json")
        if run.pending():
            started = time.process_time()
            train(run, Cluster(), lambda text: print(text, file=sys.stderr), quiet=True)
            storage.write_json(note, time.process_time() - started)
            run.write_description()
        yield score(run, tomorrow, float(json.loads(storage.read_bytes(note))))
        parent = run.run_id


def versions(lake: Lake, conf: Config, day: date) -> dict[str, int]:
    """The versions of the tables when a day had been encoded, and no later one."""
    encoded = {task.table: lake.records(task.table)[str(day)] for task in named_tasks(conf).values()}
    vocabulary = next(iter(encoded.values()))[1].provenance["inputs"][layout.VOCABULARY]
    return {layout.VOCABULARY: vocabulary} | {table: version for table, (version, _) in encoded.items()}


def score(run: Run, day: date, seconds: float) -> Scored:
    """A day's impressions, those of its values that the model lacks as unknown."""
    tasks, size = named_tasks(run.conf), run.conf.train.batch_size
    shown = tasks[CTR].table
    snapshot = Snapshot.of(run.lake, shown, run.lake.records(shown)[str(day)][0], *Selection(Days(day, day)))
    labels = {task.name: task.label for task in tasks.values()}
    loader = TableLoader(
        snapshot, run.conf.layout, labels, batch_size=size, shuffle=False, memory_rows=0, buffer_rows=size
    )
    batches = list(loader.epoch(0))
    ids, numbers = (
        np.concatenate([getattr(one.features, name).numpy() for one in batches]) for name in ("ids", "numbers")
    )
    predictor = Predictor.load(run.folder, MODEL, run.conf, field_sizes(run))
    found = {task: np.concatenate([one.labels[task].numpy() for one in batches]).astype(float) for task in labels}
    return Scored(found, predictor.predict(predictor.known(ids), numbers), seconds)


def table(conf: Config, arms: Mapping[str, Sequence[Scored]], days: Days) -> str:
    """A line a scored day, and one of all: each arm's figures, differences from the first, CPU seconds of training."""
    tasks = list(named_tasks(conf).values())
    header = ["day"]
    for name in arms:
        header += [f"{name}: {task.title}" for task in tasks] + [f"{name}: CPU s"]
    scored = [{name: found[n] for name, found in arms.items()} for n in range(len(arms[BASE]))]
    lines = [[str(day), *_cells(tasks, one)] for day, one in zip(list(days)[2:], scored, strict=True)]
    return markdown([header, *lines, ["all", *_cells(tasks, {name: _together(found) for name, found in arms.items()})]])


def _together(found: Sequence[Scored]) -> Scored:
    labels, predictions = (
        {task: np.concatenate([getattr(one, part)[task] for one in found]) for task in found[0].labels}
        for part in ("labels", "predictions")
    )
    return Scored(labels, predictions, sum(one.seconds for one in found))


def _cells(tasks: Sequence[Task], scored: Mapping[str, Scored]) -> list[str]:
    cells: dict[str, list[str]] = {name: [] for name in scored}
    for task in tasks:
        predictions = {name: one.predictions[task.name] for name, one in scored.items()}
        figures = paired.figures(task, scored[BASE].labels[task.name], [predictions], RESAMPLES, seed=7)
        for name in scored:
            text = f"{figures[name].value:.5f}"
            if name != BASE:
                one = paired.difference(name, BASE, task, task.measure, figures)
                text += f" ({one.difference:+.5f} [{one.low:+.5f}, {one.high:+.5f}])"
            cells[name].append(text)
    return [cell for name, one in scored.items() for cell in [*cells[name], f"{one.seconds:.0f}"]]


if __name__ == "__main__":
    main()
