"""`ncs daily` killed anywhere in a day: the same rows, the same bits of the model, one champion at all times."""

import random
import shutil
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.cli import main
from ncs.lake import layout, names
from ncs.lake.layout import Lake
from ncs.lake.registry import CANDIDATE, CHAMPION, ModelRef, Registry
from ncs.training.cluster import Cluster
from ncs.training.store import Store
from tests.factories import ROOT
from tests.faults.crash import Point, _paths
from tests.faults.driver import Driver
from tests.faults.lakes import SPARK, rows

POINTS, SEED = 20, 23
MODEL = "layer_share"
SETTINGS = [*SPARK, "logs.days=2022-04-08..2022-04-11", "logs.impressions=4000", "logs.synthetic.users=100"]
SETTINGS += ["logs.synthetic.videos=50", "window.train=3", f"train.models={MODEL}", "train.epochs=2", "train.threads=1"]
SETTINGS += ["daily.scratch_every=3", "net.embedding=2", "net.hidden=[8, 4]"]
SETTINGS += ["promote={margin: 0.9, better: [], max_calibration: 0.9, least_rows: 50}"]
TABLES = [
    layout.SAMPLES,
    layout.VOCABULARY,
    "gold/ctr_samples",
    "gold/cvr_samples",
    layout.PREDICTIONS,
    layout.PROGRESS,
]


def command(lake: Lake, days: str) -> list[str]:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    conf = str(ROOT / "conf" / "demo.yaml")
    return ["daily", "--conf", conf, "--lake", lake.root, "--days", days, "--quiet", *settings]


def tables(lake: Lake) -> dict[str, dict[str, Counter[str]]]:
    return {name: rows(lake, name) for name in TABLES}


def entries(lake: Lake) -> list[tuple[object, ...]]:
    """What the registry says, but for who and when."""
    kept = ("alias", "action", "run_id", "model", "reference", "day", "evidence", "why")
    return [tuple(getattr(entry, name) for name in kept) for entry in Registry.read(lake).entries]


def bits(lake: Lake, ref: ModelRef) -> str:
    """A model's weights and masks."""
    artefact = Store(lake.uri("models", ref.run_id, ref.model), Cluster()).load("model")
    return repr({part: _plain(artefact[part]) for part in ("net", "masks", "task_weights")})


def _plain(value: object) -> object:
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value.numpy().tobytes()  # type: ignore[attr-defined]


class ChampionReader:
    """Asks for the champion again and again, as a server does that loads it."""

    def __init__(self, lake: Lake) -> None:
        self.lake, self.ended = lake, threading.Event()
        self.reads: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._poll)

    def __enter__(self) -> "ChampionReader":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self.ended.wait(0.05):
            try:
                self.reads[str(Registry.read(self.lake).current(CHAMPION))] += 1
            except Exception as err:
                self.reads[repr(err)] += 1


@pytest.mark.slow
def test_killed_anywhere_in_a_day(spark: SparkSession, tmp_path: Path) -> None:
    before = Lake.at(str(tmp_path / "before"))
    assert main(command(before, "2022-04-08..2022-04-10")) == 0
    after = Lake.at(str(shutil.copytree(before.root, tmp_path / "after")))
    assert main(command(after, "2022-04-11")) == 0
    old, new = (Registry.read(lake).current(CHAMPION) for lake in (before, after))
    candidate = Registry.read(after).current(CANDIDATE)
    assert candidate is not None
    assert len({old, new, candidate} - {None}) == 3, "a day with a promotion"
    expected = tables(after), entries(after), bits(after, candidate)

    chance, number = random.Random(SEED), len(_paths(after) - _paths(before))
    killed = Lake.at(str(shutil.copytree(before.root, tmp_path / "killed")))
    points = [*sorted(Point.draw(chance, number) for _ in range(POINTS - 1)), Point(sys.maxsize, 0.0)]  # to its end
    copies, seen, there = [], set[str](), _paths(killed)
    driver, registered = Driver(command(killed, "2022-04-11"), tmp_path / "driver.log"), 0

    def stop_and_copy(name: str) -> None:
        if driver.stop():
            copies.append(Lake.at(str(shutil.copytree(killed.root, tmp_path / name))))
            driver.go_on()

    with ChampionReader(killed) as reader:
        try:
            for n, point in enumerate(points):
                while len(seen) < point.paths and not driver.ended:
                    appeared = _paths(killed) - there - seen
                    seen |= appeared
                    if any(path.startswith(f"{names.REGISTRY}/_delta_log/") for path in appeared):
                        registered += 1  # after the promotion, and after the new candidate
                        stop_and_copy(f"registry-{registered}")
                    time.sleep(0.01)
                if not driver.ended:
                    time.sleep(point.seconds)
                if n < POINTS - 1:
                    stop_and_copy(f"{n}")
        finally:
            driver.kill()
        copies.append(killed)
        states = Counter(str(Registry.read(lake).current(CHAMPION)) for lake in copies)
        for lake in copies:
            assert main(command(lake, "2022-04-11")) == 0
            assert tables(lake) == expected[0], lake.root
            assert entries(lake) == expected[1], lake.root
            assert bits(lake, candidate) == expected[2], lake.root
            if lake is not killed:
                shutil.rmtree(lake.root)
    assert registered >= 2, "killed between promotion and registration, and after it, too"
    assert set(reader.reads) <= {str(old), str(new)}, "one champion at all times"
    print(f"\nseed {SEED}: {len(copies)} points, champions then {dict(states)}, reads {dict(reader.reads)}")
