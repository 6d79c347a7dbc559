"""Models trained side by side: the same bits as one after the other, whatever one of the processes comes to."""

import os
import signal
import threading
import time

import pytest

from ncs.config import Config
from ncs.errors import TrainingError
from ncs.lake.layout import Lake
from ncs.runs import side_by_side
from ncs.runs.run import Run
from ncs.runs.side_by_side import at_once, train_side_by_side
from tests.factories import toy_conf, write_toy_lake
from tests.training.faults import same, saved_state, trained

MODELS = ("layer_share", "single_task", "connection_share")
SETTINGS = ("train.epochs=3", "logs.days=2022-04-08..2022-04-09", f"train.models=[{','.join(MODELS)}]")


@pytest.fixture(scope="module")
def conf() -> Config:
    return toy_conf(*SETTINGS, "prune.rounds=1", "train.models_at_once=2")


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory, conf: Config) -> dict[str, dict]:
    run = trained(write_toy_lake(Lake.at(str(tmp_path_factory.mktemp("one_by_one"))), conf), conf)
    return {model: saved_state(run, model) for model in MODELS}


def assert_same(run: Run, expected: dict[str, dict]) -> None:
    assert all(same(saved_state(run, model), expected[model]) for model in MODELS)


def test_an_error_of_one_ends_all_and_the_same_command_goes_on(
    lake: Lake, conf: Config, one_by_one: dict[str, dict]
) -> None:
    run = Run.of(conf, write_toy_lake(lake, conf))
    broken = toy_conf(*SETTINGS, "prune.rounds=1", "models.layer_share.set={train.learning_rate: 1e30}")
    with pytest.raises(TrainingError, match=r"lower train\.learning_rate"):
        train_side_by_side(Run.of(broken, run.lake), 2, quiet=True)
    train_side_by_side(run, at_once(run), quiet=True)
    assert run.pending() == []
    assert_same(run, one_by_one)


@pytest.mark.slow
def test_a_killed_process_is_named_and_nobody_is_left(lake: Lake, conf: Config, one_by_one: dict[str, dict]) -> None:
    run = Run.of(conf, write_toy_lake(lake, conf))
    before = children()

    def kill_one() -> None:
        while not (started := children() - before):
            time.sleep(0.05)
        time.sleep(1)
        os.kill(max(started), signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with pytest.raises(
        TrainingError, match=r"was ended by signal 9; if memory is short, --set train\.models_at_once=1"
    ):
        train_side_by_side(run, 2, quiet=True)
    killer.join()
    assert children() <= before
    train_side_by_side(run, 2, quiet=True)
    assert_same(run, one_by_one)


def children() -> set[int]:
    """The processes that this one has started, but for multiprocessing's own tracker."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as stat, open(f"/proc/{pid}/cmdline") as command:
                if int(stat.read().rpartition(")")[2].split()[1]) == os.getpid() and "spawn_main" in command.read():
                    found.add(int(pid))
        except OSError:  # it has ended meanwhile
            continue
    return found


def test_as_many_as_pay_and_have_room(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(*settings: str) -> int:
        conf = toy_conf(*SETTINGS, *settings)
        return at_once(Run.of(conf, lake))

    write_toy_lake(lake, toy_conf(*SETTINGS))
    monkeypatch.setattr(side_by_side, "available_cores", lambda: 4)
    assert chosen() == 1  # of so few rows the start of a process costs more
    monkeypatch.setattr(side_by_side, "_WORTH_A_PROCESS", 100)
    assert chosen() == 3  # as many as there are models
    assert chosen("train.threads=2") == 2
    assert chosen("train.threads=null") == 1
    assert chosen("data_loading.memory_rows=0") == 1
    assert chosen("train.models_at_once=2") == 2
    assert chosen("train.models_at_once=1") == 1
    assert chosen("train.models=layer_share") == 1
