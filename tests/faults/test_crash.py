"""A driver killed at any point of a stage: no half day is ever seen, the same command ends as if undisturbed."""

import random
import shutil
from pathlib import Path

import pytest

from tests.faults.conftest import Chains
from tests.faults.crash import Point, Reader, crash, paths_of, recover
from tests.faults.lakes import Chain, Kind, files

SEED = 5
POINTS = 10  # of each stage and kind


def survive(chain: Chain, stage: str, number: int, place: Path) -> None:
    """Crash a stage at a number of points, run it again after each, hold what comes out against the undisturbed."""
    chance, paths = random.Random(f"{SEED} {chain.kind} {stage}"), paths_of(chain, stage)
    points = [Point.draw(chance, paths) for _ in range(number)]
    reader = Reader(chain, stage)
    lakes = crash(chain, stage, points, place, reader, jvm=chain.kind == "fresh")
    states, lost, doubled = set(), 0, 0
    for lake in lakes:
        reader.look(lake)
        states.add(frozenset(str(path.relative_to(lake.root)) for path in Path(lake.root).rglob("*")))
        more = recover(chain, stage, lake)
        lost, doubled = lost + more[0], doubled + more[1]
        assert files(lake) == files(chain.after(stage))
        shutil.rmtree(lake.root)
    print(
        f"\n{chain.kind} {stage}, seed {SEED}: {len(lakes)} points ({len(states)} different lakes, 1 killed for good), "
        f"{lost} rows lost, {doubled} doubled, {reader.reads} reads of which {len(reader.wrong)} saw half a day"
    )
    assert not reader.wrong, "a reader sees neither the old day nor the new one"
    assert (lost, doubled) == (0, 0)


@pytest.mark.slow
def test_killed_while_it_labels_a_new_delivery(chains: Chains, tmp_path: Path) -> None:
    survive(chains("redelivered", "label"), "label", 4, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["fresh", "redelivered"])
@pytest.mark.parametrize("stage", ["ingest", "label", "encode", "predict", "evaluate"])
def test_killed_anywhere(stage: str, kind: Kind, chains: Chains, tmp_path: Path) -> None:
    last = "evaluate" if stage in ("predict", "evaluate") else "encode"
    survive(chains(kind, last), stage, POINTS, tmp_path)
