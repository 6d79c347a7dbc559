"""Crash points of a stage, with a reader that looks on.

What SIGKILL leaves is what is on disk at that instant. So a driver is stopped at many points of its way, the lake is
copied and the driver let go on, until it is really killed at the last point: each copy is the lake of a driver that
was killed there, for the price of one JVM.
"""

import os
import random
import shutil
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from jobs.cli import main
from ncs.lake.layout import Lake
from tests.faults.driver import Driver
from tests.faults.lakes import Chain, command, expected, rows


@dataclass(frozen=True, order=True)
class Point:
    """So many seconds after so many new files and folders have appeared in the lake."""

    paths: int
    seconds: float

    @classmethod
    def draw(cls, chance: random.Random, paths: int) -> "Point":
        """At once after a file, where commits are made and broken, or anywhere in the time that follows."""
        return cls(chance.randint(0, paths), chance.uniform(0, chance.choice([0.01, 1.0])))


@dataclass
class Reader:
    """Reads the tables of a stage whenever they have changed, and keeps what nobody should see."""

    chain: Chain
    stage: str
    reads: int = 0
    wrong: list[str] = field(default_factory=list)

    def look(self, lake: Lake, seen: dict[str, int] | None = None) -> None:
        """Hold each day of each table, of a version not `seen` yet, against what it was and what it is to become."""
        for table, (before, after) in expected(self.chain, self.stage).items():
            version = lake.version(table) if lake.has(table) else -1
            if seen is not None and seen.get(table) == version:
                continue
            found = rows(lake, table)
            self.reads += 1
            for day in {*before, *after, *found}:
                if found.get(day) not in (before.get(day), after.get(day)):
                    self.wrong.append(f"{table} {day} version {version}")
            if seen is not None:
                seen[table] = version

    def poll(self, lake: Lake, ended: threading.Event) -> None:
        """Look again and again, as somebody who does not know that a stage is at work."""
        seen: dict[str, int] = {}
        try:
            while not ended.wait(0.05):
                self.look(lake, seen)
        except Exception as err:
            self.wrong.append(repr(err))


def crash(chain: Chain, stage: str, points: list[Point], place: Path, reader: Reader, jvm: bool = True) -> list[Lake]:
    """Run a stage up to the last of the points. Returns the lakes as a driver that is killed at each of them leaves it.

    With `jvm` false the last kill takes the driver alone.
    """
    lake = chain.before(stage, place / "killed")
    before, new, copies = _paths(lake), set[str](), list[Lake]()
    ended = threading.Event()
    polling = threading.Thread(target=reader.poll, args=(lake, ended))
    polling.start()
    driver = Driver(command(stage, lake), place / "driver.log")
    try:
        for n, point in enumerate(sorted(points)):
            while len(new) < point.paths and not driver.ended:
                new |= _paths(lake) - before
                time.sleep(0.005)
            if not driver.ended:
                time.sleep(point.seconds)
            if n < len(points) - 1 and driver.stop():
                copies.append(Lake.at(str(shutil.copytree(lake.root, place / f"{n}"))))
                driver.go_on()
    finally:
        driver.kill(jvm)
        ended.set()
        polling.join()
    return [*copies, lake]


def paths_of(chain: Chain, stage: str) -> int:
    """How many new files and folders an undisturbed stage leaves in the lake."""
    return len(_paths(chain.after(stage)) - _paths(chain.before(stage)))


def recover(chain: Chain, stage: str, lake: Lake) -> tuple[int, int]:
    """Run the same command again. Returns the rows that are lost then, and those that are doubled or of no origin."""
    assert main(command(stage, lake)) == 0
    lost = doubled = 0
    for table, (_, after) in expected(chain, stage).items():
        found = rows(lake, table)
        for day in {*after, *found}:
            want, have = after.get(day, Counter()), found.get(day, Counter())
            lost, doubled = lost + (want - have).total(), doubled + (have - want).total()
    return lost, doubled


def _paths(lake: Lake) -> set[str]:
    """All files and folders, as seen from the lake's root."""
    return {os.path.relpath(Path(at, name), lake.root) for at, *names in os.walk(lake.root) for name in sum(names, [])}
