"""Real Horovod processes: N workers do what one does, and a failing one is heard."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from jobs.cli import main
from ncs.config import Config
from ncs.errors import TrainingError
from ncs.lake import storage
from ncs.lake.layout import Lake
from ncs.metrics import auc
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from ncs.training.cluster import Cluster, launch
from ncs.training.cluster.launch import check_startable
from ncs.training.store import Store
from tests.factories import RICH, ROOT, toy_conf, toy_rows, write_toy_lake
from tests.training import halves
from tests.training.faults import same, saved_state

LAUNCH = toy_conf().launch


def written(conf: Config, folder: Path) -> str:
    path = folder / "conf.yaml"
    path.write_text(yaml.safe_dump(conf.model_dump(), sort_keys=False))
    return str(path)


def halved(folder: Path, launcher: str, *overrides: str, workers: int = 2, **settings: str) -> dict:
    """What the workers of a launcher end with."""
    command = [sys.executable, "-m", "tests.training.halves", str(folder), *overrides]
    conf = LAUNCH.model_copy(update={"launcher": launcher, **settings})
    launch(conf, workers, 64, command, str(folder) + "-error", folder.parent / "log")
    return result(folder)


def result(folder: Path) -> dict:
    return Store(str(folder / "result"), Cluster()).load("result")


def masks_of(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    (search,) = folder.glob("search-*")
    store = Store(str(search), Cluster())
    return {f"{task}-{i}": store.load(f"search-{task}-{i:02d}")["next"] for task in ("ctr", "cvr") for i in range(3)}


@pytest.mark.parametrize(
    ("launcher", "features"),
    [
        ("horovodrun", ()),
        pytest.param("horovodrun", RICH, marks=pytest.mark.slow),
        pytest.param("torch", (), marks=pytest.mark.slow),
    ],
    ids=["horovodrun", "horovodrun, lists and numbers", "torch"],
)
def test_two_workers_fed_the_halves_of_each_batch_end_as_one_does(
    tmp_path: Path, launcher: str, features: tuple[str, ...]
) -> None:
    halves.run(str(tmp_path / "one"), Cluster(), *features)
    one, two = result(tmp_path / "one"), halved(tmp_path / "two", launcher, *features)
    assert (one["size"], two["size"]) == (1, 2)
    others = masks_of(tmp_path / "two")
    for key, masks in masks_of(tmp_path / "one").items():
        for name, mask in masks.items():
            assert torch.equal(mask, others[key][name]), (key, name)
        assert 0 < sum(float(mask.sum()) for mask in masks.values()) < 0.71 * sum(m.numel() for m in masks.values())
    assert one["chosen"] == two["chosen"]
    for name, weight in one["net"].items():
        torch.testing.assert_close(two["net"][name], weight, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "members"),
    [("stem", 1), ("fisher_share", 1), ("learnt_share", 1), ("staged_share", 1), ("connection_share", 3)],
)
def test_two_workers_share_in_every_form_as_one_does(tmp_path: Path, model: str, members: int) -> None:
    """One epoch: the more steps follow, the further float rounding takes them apart."""
    settings = (f"model={model}", f"net.members={members}", "train.epochs=1", "prune.rounds=1")
    halves.run(str(tmp_path / "one"), Cluster(), *RICH, *settings)
    one, two = result(tmp_path / "one"), halved(tmp_path / "two", "torch", *RICH, *settings)
    assert (one["size"], two["size"], one["chosen"]) == (1, 2, two["chosen"])
    for name, weight in one["net"].items():
        torch.testing.assert_close(two["net"][name], weight, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.slow
def test_two_workers_give_the_same_bits_each_time_and_with_either_backend(tmp_path: Path) -> None:
    first = halved(tmp_path / "first", "horovodrun")
    for name, launcher in (("again", "horovodrun"), ("torch", "torch")):
        other = halved(tmp_path / name, launcher)
        assert all(torch.equal(weight, other["net"][key]) for key, weight in first["net"].items()), name
        masks, others = masks_of(tmp_path / "first"), masks_of(tmp_path / name)
        assert all(torch.equal(mask, others[key][layer]) for key in masks for layer, mask in masks[key].items()), name


@pytest.mark.slow
def test_two_hosts_by_two_names_of_loopback_end_as_one_host_does(tmp_path: Path) -> None:
    alone = halved(tmp_path / "alone", "horovodrun")
    apart = halved(tmp_path / "apart", "horovodrun", hosts="localhost:1,127.0.0.1:1", network="lo")
    assert (alone["local_size"], apart["local_size"], apart["size"]) == (2, 1, 2)
    assert all(torch.equal(weight, apart["net"][key]) for key, weight in alone["net"].items())


def test_a_host_that_cannot_be_reached_is_named_with_the_launchers_reason(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"could not be started: .*could not connect to some hosts via ssh"):
        halved(tmp_path / "apart", "horovodrun", hosts="localhost:1,127.0.0.2:1")


@pytest.mark.parametrize("embeddings", [pytest.param("replicated", marks=pytest.mark.slow), "sharded"])
def test_the_command_line_starts_its_own_workers(
    lake: Lake, tmp_path: Path, capfd: pytest.CaptureFixture[str], embeddings: str
) -> None:
    fields = "fields={video_id: {side: video, encode: vocabulary}, user_id: {side: user, encode: vocabulary}}"
    shared = f"train.embeddings={embeddings}"
    conf = toy_conf("workers=2", "train.models=layer_share", "logs.source=nowhere", fields, shared)
    write_toy_lake(lake, conf)
    assert main(["train", "--conf", written(conf, tmp_path), "--lake", lake.root]) == 0
    printed = capfd.readouterr().err
    assert "train: layer_share in" in printed
    assert "layer_share trained; run toy-" in printed
    run = Run.of(conf, lake)
    ids, clicked, _ = toy_rows(4000, seed=99)
    predictor = Predictor.load(run.folder, "layer_share", conf, field_sizes(run))
    assert auc(clicked, predictor.predict(ids[:, ::-1])["ctr"]) > 0.6, "the workers keep the fields in their order"


def torchruns(lake: Lake, *confs: str) -> list[tuple[int, str]]:
    """A torchrun of its own for each worker, as on as many hosts: exit code and output of each."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        meeting = f"localhost:{free.getsockname()[1]}"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", str(len(confs)), "--nproc-per-node", "1"]
    torchrun += ["--rdzv-backend", "c10d", "--rdzv-endpoint", meeting, str(ROOT / "jobs" / "train.py")]
    running = [
        subprocess.Popen(
            [*torchrun, "--conf", conf, "--lake", lake.root],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for conf in confs
    ]
    outputs = [one.communicate(timeout=300)[0] for one in running]
    return [(one.returncode, output) for one, output in zip(running, outputs, strict=True)]


@pytest.mark.slow
def test_a_torchrun_on_each_of_two_hosts_trains_one_run(lake: Lake, tmp_path: Path) -> None:
    """It ends with the bits of two workers of one torchrun, and is the run that the next stages work on."""
    conf = toy_conf("workers=2", "train.models=layer_share", "logs.source=nowhere", "launch.launcher=torch")
    own = Lake.at(str(tmp_path / "own"))
    for one in (lake, own):
        write_toy_lake(one, conf)
    path = written(conf, tmp_path)
    assert main(["train", "--conf", path, "--lake", own.root]) == 0
    found = torchruns(lake, path, path)
    assert [code for code, _ in found] == [0, 0], found
    run = Run.of(conf, lake)
    assert storage.read_json(lake.uri("models", "latest.json")) == {"run_id": run.run_id}
    assert storage.read_json(storage.join(run.folder, "run.json"))["models"] == ["layer_share"]
    assert same(saved_state(run, "layer_share"), saved_state(Run.of(conf, own), "layer_share"))


@pytest.mark.slow
@pytest.mark.fault(ends="clear error")
def test_hosts_with_another_configuration_are_refused(lake: Lake, tmp_path: Path) -> None:
    conf = toy_conf("workers=2", "train.models=layer_share", "logs.source=nowhere")
    write_toy_lake(lake, conf)
    other = tmp_path / "other"
    other.mkdir()
    paths = written(conf, tmp_path), written(toy_conf("train.seed=3", "workers=2", "logs.source=nowhere"), other)
    found = torchruns(lake, *paths)
    assert all(code for code, _ in found)
    assert all("the workers differ in their configuration" in output for _, output in found), found
    assert not (Path(lake.root) / "models").exists()


def test_more_workers_than_row_groups_is_one_clear_line(
    lake: Lake, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    conf = toy_conf("workers=2", "train.models=layer_share", "logs.source=nowhere", "logs.days=2022-04-08..2022-04-09")
    write_toy_lake(lake, conf, rows=150)  # one row group of cvr samples
    assert main(["train", "--conf", written(conf, tmp_path), "--lake", lake.root]) == 1
    last = capfd.readouterr().err.strip().splitlines()[-1]
    assert "row groups for 2 workers; use --workers 1" in last
    assert not (Path(lake.root) / "models").exists()


@pytest.mark.parametrize(
    ("settings", "workers", "message"),
    [
        (
            {"hosts": "localhost:1,no-such-host.invalid:1"},
            2,
            r"launch\.hosts: no-such-host\.invalid cannot be resolved",
        ),
        ({"hosts": "localhost:1"}, 2, r"launch\.hosts has 1 slots for 2 workers"),
        ({"hosts": "localhost:2", "network": "nowhere0"}, 2, r"launch\.network: there is no interface nowhere0 here"),
    ],
)
def test_what_could_never_start_is_said_before_anything_waits(
    tmp_path: Path, settings: dict[str, str], workers: int, message: str
) -> None:
    log = tmp_path / "log"
    with pytest.raises(TrainingError, match=message):
        launch(LAUNCH.model_copy(update=settings), workers, 64, ["false"], str(tmp_path / "error"), log)
    assert not log.exists()


def test_a_launcher_that_is_not_installed_is_named() -> None:
    with pytest.raises(TrainingError, match=r"launch\.launcher: no_such\.program is not installed here"):
        check_startable([sys.executable, "-m", "no_such.program"], {"localhost": 1}, 1, None)
