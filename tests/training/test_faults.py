"""Faults in one process: training goes on to the same bits, or stops with a clear error; never a wrong model."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from deltalake import DeltaTable

import ncs.training.loop as loop
from jobs.cli import main
from jobs.pipeline.worker import work
from ncs.config import Config
from ncs.errors import DataError, TrainingError
from ncs.lake import layout, storage
from ncs.lake.layout import Lake
from ncs.nets.model import Model
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from ncs.runs.training import train
from ncs.training import cluster
from ncs.training.cluster import Cluster
from ncs.training.optim import MaskedAdam
from ncs.training.store import Store
from tests.factories import toy_conf, write_toy_lake
from tests.training.faults import KilledError, killed, rewrite, same, saved_state, trained

GOES_ON = pytest.mark.fault(ends="goes on")
CLEAR_ERROR = pytest.mark.fault(ends="clear error")
SETTINGS = ("train.epochs=4", "train.patience=4", "logs.days=2022-04-08..2022-04-09")


@pytest.fixture(scope="module")
def conf() -> Config:
    """snr_trans draws its gates while it trains: the state of the random numbers is part of what is resumed."""
    return toy_conf(*SETTINGS, "train.models=snr_trans", "net.snr.subnets=2")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, conf: Config) -> dict:
    lake = Lake.at(str(tmp_path_factory.mktemp("undisturbed")))
    return saved_state(trained(write_toy_lake(lake, conf), conf), "snr_trans")


@pytest.fixture
def killed_after_3(lake: Lake, conf: Config) -> Run:
    """A run of whose four epochs three are kept, the last two of them in checkpoints."""
    return killed(write_toy_lake(lake, conf), conf, lambda _, name: name == "joint.checkpoint-0003")


def folder(run: Run) -> Path:
    return Path(run.model_folder(*run.conf.train.models))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zero_the_end(path: Path) -> None:
    """As a file system leaves a file whose last blocks were never written."""
    content = path.read_bytes()
    path.write_bytes(content[:-512] + bytes(512))


@GOES_ON
@pytest.mark.parametrize("how", [truncate, flip_a_bit, empty, zero_the_end])
def test_a_broken_checkpoint_gives_way_to_the_one_before(
    killed_after_3: Run, undisturbed: dict, how: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    how(folder(killed_after_3) / "joint.checkpoint-0003.pt")
    again = trained(killed_after_3.lake, killed_after_3.conf)
    assert "joint.checkpoint-0003.pt cannot be read" in caplog.text
    assert [epoch.epoch for epoch in Store(str(folder(again)), Cluster()).logged()] == [1, 2, 3, 4]
    assert same(saved_state(again, "snr_trans"), undisturbed)


@GOES_ON
def test_without_a_whole_checkpoint_the_phase_starts_anew(killed_after_3: Run, undisturbed: dict) -> None:
    for path in folder(killed_after_3).glob("*.checkpoint-*"):
        truncate(path)
    assert same(saved_state(trained(killed_after_3.lake, killed_after_3.conf), "snr_trans"), undisturbed)


@GOES_ON
def test_a_broken_round_of_a_search_is_made_again(lake: Lake) -> None:
    conf = toy_conf(*SETTINGS[2:], "train.models=connection_share", "train.epochs=1")
    before = killed(write_toy_lake(lake, conf), conf, lambda _, name: name == "search-cvr-01")
    (rounds,) = Path(before.folder).glob("search-*")
    after = Lake.at(lake.root + "-undisturbed")
    whole = saved_state(trained(write_toy_lake(after, conf), conf), "connection_share")
    flip_a_bit(rounds / "search-ctr-01.pt")
    truncate(rounds / "theta.pt")
    assert same(saved_state(trained(lake, conf), "connection_share"), whole)


@CLEAR_ERROR
def test_broken_weights_are_never_predicted_with(lake: Lake, conf: Config) -> None:
    run = trained(write_toy_lake(lake, conf), conf)
    flip_a_bit(folder(run) / "model.pt")
    with pytest.raises(TrainingError, match=r"model\.pt cannot be read .*remove it and train again"):
        Predictor.load(run.folder, "snr_trans", conf, field_sizes(run))


@CLEAR_ERROR
@pytest.mark.parametrize("when", ["before the steps", "after the last step"])
def test_weights_that_are_not_finite_leave_the_last_good_checkpoint(
    lake: Lake, conf: Config, undisturbed: dict, when: str
) -> None:
    """In the third epoch: first the loss shows it; then nothing does, for no validation row holds that id."""
    write_toy_lake(lake, conf)
    whole = loop.Trainer.train_epoch

    def poisoned(self: loop.Trainer, net: Model, optimizer: MaskedAdam, phase: loop.Phase, epoch: int) -> dict:
        weights = list(net.parameters())
        if epoch == 2 and when == "before the steps":
            weights[-1].data.fill_(float("nan"))
        facts = whole(self, net, optimizer, phase, epoch)
        if epoch == 2 and when == "after the last step":
            weights[0].data[0, 0] = float("inf")
        return facts

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Trainer, "train_epoch", poisoned)
        with pytest.raises(TrainingError, match=r"(loss became nan|not finite); lower train\.learning_rate"):
            trained(lake, conf)
    run = Run.of(conf, lake)
    assert not (folder(run) / "model.pt").exists()
    saved = Store(str(folder(run)), Cluster()).newest_checkpoint("joint")
    assert saved is not None
    assert saved["progress"]["epoch"] == 2
    assert all(weight.isfinite().all() for weight in saved["net"].values())
    assert same(saved_state(trained(lake, conf), "snr_trans"), undisturbed)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("only root can mount a file system")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@CLEAR_ERROR
def test_a_full_disk_is_told_of_and_leaves_the_checkpoint_before(small_disk: Path) -> None:
    store = Store(str(small_disk), Cluster())
    store.save_checkpoint("joint", 1, {"w": torch.ones(5000)})
    with pytest.raises(TrainingError, match=r"checkpoint-0002\.pt cannot be written \(No space left on device\)"):
        store.save_checkpoint("joint", 2, {"w": torch.zeros(12000)})
    assert os.listdir(small_disk) == ["joint.checkpoint-0001.pt"], "no half of a file is left"
    saved = store.newest_checkpoint("joint")
    assert saved is not None
    assert torch.equal(saved["w"], torch.ones(5000))


@GOES_ON
def test_with_room_again_it_goes_on(
    lake: Lake, conf: Config, undisturbed: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_toy_lake(lake, conf)
    fsync = os.fsync

    def full(handle: int) -> None:
        if "checkpoint-0002" in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(TrainingError, match="Free some space; the same command continues"):
            trained(lake, conf)
    assert same(saved_state(trained(lake, conf), "snr_trans"), undisturbed)


@GOES_ON
def test_killed_while_a_checkpoint_is_written(
    lake: Lake, conf: Config, undisturbed: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_toy_lake(lake, conf)
    replace = os.replace

    def dies(source: str, target: str) -> None:
        if "checkpoint-0003" in target:
            Path(source).rename(f"{source}.kept")  # what SIGKILL leaves: nobody clears the half file away
            raise KilledError
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dies)
        with pytest.raises(KilledError):
            trained(lake, conf)
    (half,) = folder(Run.of(conf, lake)).glob(".*.kept")
    half.rename(str(half).removesuffix(".kept"))
    run = trained(lake, conf)
    assert same(saved_state(run, "snr_trans"), undisturbed)
    assert not list(folder(run).glob(".*")), "the half file is gone"


STREAMED = ("feed.memory_rows=0", "feed.buffer_rows=64")


def vacuum(lake: Lake) -> None:
    rewrite(lake)
    for table in ("gold/ctr_samples", "gold/cvr_samples"):
        DeltaTable(lake.uri(table)).vacuum(0, dry_run=False, enforce_retention_duration=False)


def disturb_while_training(lake: Lake, conf: Config, monkeypatch: pytest.MonkeyPatch, fault: Callable) -> Run:
    """Train; after the second epoch the tables change under it."""
    write_toy_lake(lake, conf)
    save = Store.save_checkpoint

    def then_disturb(self: Store, name: str, number: int, value: dict) -> None:
        save(self, name, number, value)
        if number == 2:
            fault(lake)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "save_checkpoint", then_disturb)
        return trained(lake, conf)


@GOES_ON
def test_a_table_rewritten_while_training_changes_nothing(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = toy_conf(*SETTINGS, *STREAMED, "train.models=[layer_share, single_task]")
    undisturbed = trained(write_toy_lake(Lake.at(str(tmp_path / "undisturbed")), conf), conf)
    run = disturb_while_training(lake, conf, monkeypatch, rewrite)
    for model in run.conf.train.models:
        assert same(saved_state(run, model), saved_state(undisturbed, model))
    (folder,) = Path(lake.uri("models")).iterdir()
    assert folder.name == undisturbed.run_id != Run.of(conf, lake).run_id, "new rows are another run's"


@GOES_ON
def test_days_encoded_anew_before_the_workers_start_change_nothing(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = toy_conf(*SETTINGS, "train.models=layer_share", "logs.source=nowhere", "workers=2")
    undisturbed = trained(write_toy_lake(Lake.at(str(tmp_path / "undisturbed")), conf), conf)
    path = tmp_path / "conf.yaml"
    path.write_text(yaml.safe_dump(conf.model_dump(), sort_keys=False))

    def launch(*arguments: object) -> None:
        rewrite(lake)
        work(arguments[3][-1])  # type: ignore[index]  # what the command of a worker ends with

    monkeypatch.setattr(cluster, "launch", launch)
    run = Run.of(conf, write_toy_lake(lake, conf))
    assert main(["train", "--conf", str(path), "--lake", lake.root]) == 0
    assert same(saved_state(run, "layer_share"), saved_state(undisturbed, "layer_share"))
    assert storage.read_json(lake.uri("models", "latest.json")) == {"run_id": undisturbed.run_id}


@CLEAR_ERROR
def test_a_table_vacuumed_while_training_is_named(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = toy_conf(*SETTINGS, *STREAMED, "train.models=layer_share")
    with pytest.raises(DataError, match=r"gold/c.r_samples version \d: a file went.*vacuumed.*Keep VACUUM's retention"):
        disturb_while_training(lake, conf, monkeypatch, vacuum)
    assert not list(Path(lake.uri("models")).rglob("model.pt"))


@CLEAR_ERROR
@pytest.mark.parametrize("table", [layout.VOCABULARY, "gold/cvr_samples"])
def test_a_table_that_goes_between_pinning_and_reading_is_named(lake: Lake, conf: Config, table: str) -> None:
    run = Run.of(conf, write_toy_lake(lake, conf))
    for path in Path(lake.uri(table)).rglob("*.parquet"):
        path.unlink()
    with pytest.raises(DataError, match=f"of {table} is gone"):
        train(run, Cluster(), lambda _: None, quiet=True)
    assert not storage.exists(run.folder)
