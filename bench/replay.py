"""Days replayed with `ncs daily`: trained from nothing each day, or going on from the day before.

    .venv/bin/python -m bench.replay --conf conf/kuairand.yaml --days 2022-04-25..2022-05-03 --lake lake/replay

Raw logs are ingested and labelled once, in LAKE/base; each arm is a copy that takes the days one after another. A day
is scored by the candidate of the day before, which has not seen it. What has been replayed is not replayed again.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from jobs.pipeline.chosen import Chosen, load
from jobs.pipeline.promote import read_predictions
from ncs.days import Days
from ncs.evaluation import paired
from ncs.lake import storage
from ncs.lake.layout import Lake
from ncs.lake.registry import CANDIDATE, ModelRef, Registry
from ncs.tasks import CTR, Task, tasks_of
from ncs.text import markdown

ARMS: Mapping[str, int] = {"masks kept": 1000, "masks each 3 days": 3, "from nothing": 1}
"""Arm -> `daily.scratch_every`."""
BASE = "from nothing"
RESAMPLES = 400
SETTINGS = ("window.train=8", "daily.model=connection_share", "train.threads=1")


@dataclass(frozen=True)
class Arm:
    """A lake in which the days were taken one after another."""

    lake: Lake

    @property
    def candidates(self) -> dict[date, Chosen]:
        """Day -> the model that was trained up to it."""
        entries = [entry for entry in Registry.read(self.lake).entries if entry.alias == CANDIDATE and entry.day]
        return {entry.day: load(self.lake, ModelRef(entry.run_id, entry.model)) for entry in entries if entry.day}

    def scored(self, day: date, model: Chosen) -> pd.DataFrame:
        """The day's impressions in the order of their ids: labels, and the model's predictions."""
        tasks = tasks_of(model.conf)
        columns = ["impression_id", *(task.label for task in tasks.values())]
        table = tasks[CTR].table
        rows = self.lake.read(table, self.lake.version(table), columns, [("day", "=", str(day))]).to_pandas()
        predicted = read_predictions(self.lake, model, day, [task.prediction for task in tasks.values()])
        return rows.merge(predicted, "inner", "impression_id", validate="one_to_one").sort_values("impression_id")

    def seconds(self, model: Chosen) -> float:
        """What training the model took, its search included."""
        folder = self.lake.uri("models", model.ref.run_id, model.key)
        return float(storage.read_json(storage.join(folder, "facts.json"))["seconds"])


def main() -> None:
    """Replay, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--conf", default="conf/kuairand.yaml")
    parser.add_argument("--days", default="2022-04-25..2022-05-03", type=Days.parse)
    parser.add_argument("--lake", default="lake/replay", type=Path)
    parser.add_argument("--set", action="append", default=[])
    asked = parser.parse_args()
    common = ["--conf", asked.conf, "--days", str(asked.days)]
    common += [part for setting in (*SETTINGS, *asked.set) for part in ("--set", setting)]
    base = asked.lake / "base"
    for stage in ("ingest", "label"):
        _ncs(stage, *common, "--lake", str(base))
    arms = {}
    for name, every in ARMS.items():
        folder = asked.lake / name.replace(" ", "_")
        if not folder.exists():
            shutil.copytree(base, folder)
        started = time.monotonic()
        _ncs("daily", *common, "--lake", str(folder), "--set", f"daily.scratch_every={every}")
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        arms[name] = Arm(Lake.at(str(folder)))
    print("\n".join(table(arms)))


def _ncs(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "jobs.cli", *arguments], check=True, stdout=subprocess.DEVNULL)


def table(arms: Mapping[str, Arm]) -> list[str]:
    """A line a day, and one of all days: each arm's figures, differences from the base, seconds of training."""
    candidates = {name: arm.candidates for name, arm in arms.items()}
    tasks = list(tasks_of(next(iter(candidates[BASE].values())).conf).values())
    header = ["day"]
    for name in arms:
        header += [f"{name}: {task.title}" for task in tasks] + [f"{name}: s"]
    lines, frames = [header], []
    for before, day in pairwise(sorted(candidates[BASE])):
        scored = {name: arm.scored(day, candidates[name][before]) for name, arm in arms.items()}
        seconds = {name: arm.seconds(candidates[name][day]) for name, arm in arms.items()}
        lines.append([str(day), *_cells(tasks, scored, seconds)])
        frames.append((scored, seconds))
    whole = {name: pd.concat([scored[name] for scored, _ in frames]) for name in arms}
    lines.append(["all", *_cells(tasks, whole, {name: sum(one[name] for _, one in frames) for name in arms})])
    return [markdown(lines)]


def _cells(tasks: list[Task], scored: Mapping[str, pd.DataFrame], seconds: Mapping[str, float]) -> list[str]:
    cells: dict[str, list[str]] = {name: [] for name in scored}
    for task in tasks:
        labels = scored[BASE][task.label].to_numpy(np.float64)
        ids = [frame["impression_id"].to_numpy() for frame in scored.values()]
        assert all(np.array_equal(own, ids[0]) for own in ids), "the arms have scored the same rows"
        predictions = {name: frame[task.prediction].to_numpy() for name, frame in scored.items()}
        figures = paired.figures(task, labels, [predictions], RESAMPLES, seed=7)
        for name in scored:
            text = f"{figures[name].value:.5f}"
            if name != BASE:
                one = paired.difference(name, BASE, task, task.measure, figures)
                text += f" ({one.difference:+.5f} [{one.low:+.5f}, {one.high:+.5f}])"
            cells[name].append(text)
    return [cell for name in scored for cell in [*cells[name], f"{seconds[name]:.0f}"]]


if __name__ == "__main__":
    main()
