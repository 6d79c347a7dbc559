"""Real workers in subgroups: each searches the masks of one task, as so many workers alone would."""

import json
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from ncs.lake.layout import Lake
from ncs.methods.search import search_mask
from ncs.pruning.prune import prune
from ncs.runs.run import Run
from ncs.training.cluster import Cluster, LostError
from ncs.training.cluster.base import subgroup_ranks
from ncs.training.store import Store
from tests.factories import toy_conf, write_toy_lake
from tests.training import halves
from tests.training.test_cluster import halved, masks_of
from tests.training.test_lost_workers import Training

AT_ONCE = "prune.at_once=true"
BOTH = pytest.mark.parametrize("launcher", ["horovodrun", pytest.param("torch", marks=pytest.mark.slow)])


class _Fake(Cluster):
    """A worker among others that are not there."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    def _new_subgroup(self, ranks: list[range], number: int) -> Cluster:
        return Cluster()


def test_subgroups_are_equal_or_there_are_none() -> None:
    assert subgroup_ranks(4, 2) == [range(2), range(2, 4)]
    subgroups = [_Fake(rank, 4).subgroup(2) for rank in range(4)]
    assert [(one.subgroup_number, one.rank, one.size, one.subgroups) for one in subgroups if one] == [
        (0, 0, 2, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 2),
        (1, 1, 2, 2),
    ]
    assert [_Fake(1, size).subgroup(count) for size, count in ((3, 2), (2, 3), (4, 1))] == [None] * 3
    assert Cluster().subgroup(2) is None


def alone(folder: Path, theta: Path) -> dict[str, dict[str, torch.Tensor]]:
    """The masks that one worker finds from a theta, one task after the other."""
    net, trainer, conf = halves.made(str(folder), Cluster())
    start = Store(str(theta), Cluster()).load("theta")
    rounds = {task: search_mask(net, start, trainer, conf.prune, task, prune) for task in net.tasks}
    return {f"{task}-{i}": dict(one.mask) for task, found in rounds.items() for i, one in enumerate(found)}


def same(mask: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return mask.keys() == other.keys() and all(torch.equal(mask[layer], other[layer]) for layer in mask)


@BOTH
def test_each_of_two_workers_finds_what_one_alone_does(tmp_path: Path, launcher: str) -> None:
    two = tmp_path / "two"
    halved(two, launcher, AT_ONCE)
    (search,) = two.glob("search-*")
    found, expected = masks_of(two), alone(tmp_path / "one", search)
    for task in ("ctr", "cvr"):
        for i in (1, 2):  # the artefact of a round holds the mask of the next
            assert same(found[f"{task}-{i - 1}"], expected[f"{task}-{i}"]), (task, i)
    lines = Store(str(two / "connection_share"), Cluster()).logged()
    rounds = [(epoch.task, epoch.round, epoch.subgroup, epoch.workers) for epoch in lines[1:7]]
    assert rounds == [(task, i, number, 2) for number, task in enumerate(("ctr", "cvr")) for i in range(3)]
    assert lines[1].samples == 2030, "a subgroup takes all rows"
    assert not list(search.glob("metrics-*"))


@BOTH
@pytest.mark.slow
def test_subgroups_of_two_workers_find_what_those_of_one_do(tmp_path: Path, launcher: str) -> None:
    """And go on from what a run has found in whichever way: here from the theta of the two and the first rounds."""
    halved(tmp_path / "two", launcher, AT_ONCE)
    (search,) = (tmp_path / "two").glob("search-*")
    again = tmp_path / "four" / search.name
    again.mkdir(parents=True)
    for name in ("theta.pt", "search-ctr-00.pt"):
        shutil.copy(search / name, again)
    lines = (search / "metrics.jsonl").read_text().splitlines()
    # What a killed run of an earlier version has not merged.
    (again / "metrics-part-0.jsonl").write_text(lines[1].replace('"subgroup"', '"part"') + "\n")
    halved(tmp_path / "four", launcher, AT_ONCE, workers=4)
    two, four = masks_of(tmp_path / "two"), masks_of(tmp_path / "four")
    assert all(same(mask, four[key]) for key, mask in two.items())
    kept = [json.loads(line) for line in (again / "metrics.jsonl").read_text().splitlines()]
    assert [(line["task"], line["round"], line["workers"]) for line in kept] == [
        (task, i, 2 if (task, i) == ("ctr", 0) else 4) for task in ("ctr", "cvr") for i in range(3)
    ]


def test_a_meeting_lasts_until_all_have_come_and_tells_of_a_lost_one() -> None:
    class Late(Cluster):
        size = 2
        others = iter([0, 1])

        def sum(self, tensor: torch.Tensor) -> torch.Tensor:
            other = next(self.others, None)
            if other is None:
                raise LostError("gone")
            return tensor + other

    began = time.monotonic()
    with Late().meeting():
        pass
    assert time.monotonic() - began < 1
    with pytest.raises(LostError), Late().meeting():  # nobody is left to answer
        pass
    with pytest.raises(ValueError, match="mine"), Late().meeting():
        raise ValueError("mine")


@pytest.mark.fault(ends="goes on")
@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_a_search_goes_on_without_the_subgroup_that_is_lost(lake: Lake, launcher: str, fault: signal.Signals) -> None:
    """The one that is left finds what is missing, one task after the other."""
    overrides = (
        AT_ONCE,
        "workers=2",
        "train.models=connection_share",
        "logs.source=nowhere",
        "launch.stall_seconds=15",
        "prune.rounds=6",
    )
    conf = toy_conf(*overrides, f"launch.launcher={launcher}")
    training = Training(write_toy_lake(lake, conf, rows=4000), conf)
    models = Path(Run.of(conf, lake).folder)
    while not list(models.glob("search-*/search-cvr-01.pt")) and training.process.poll() is None:
        time.sleep(0.01)
    training.workers()[1].send_signal(fault)
    code, said = training.end()
    assert code == 0, said
    assert "a worker of 2 was lost or stalled; going on with 1 from the last epoch" in said
    epochs = [epoch for epoch in Store(str(models / "connection_share"), Cluster()).logged() if epoch.phase == "search"]
    rounds = sorted((str(epoch.task), epoch.round) for epoch in epochs)
    assert rounds == [(task, i) for task in ("ctr", "cvr") for i in range(7)]
    cvr = [(epoch.subgroup, epoch.workers) for epoch in epochs if epoch.task == "cvr"]  # in the order of the rounds
    assert (cvr[0], cvr[-1]) == ((1, 2), (None, 1))
    assert Run.of(conf, lake).facts("connection_share").workers == [1, 2]
