"""`ncs export` on a trained lake: programs that predict what the run's model does, or one clear error."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from jobs.cli import main
from ncs.data_loading import Features
from ncs.errors import ExportError
from ncs.lake import storage
from ncs.lake.layout import Lake
from ncs.lake.manifest import manifest_uri
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from ncs.serving import blend
from ncs.serving import export as exporting
from ncs.serving.export import TOLERANCE, onnx_predictor, torch_predictor
from ncs.serving.model import ServingNet
from ncs.tasks import named_tasks
from tests.factories import ROOT, toy_conf, toy_rows, write_toy_lake

MODELS = "train.models=[connection_share, mmoe]"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[str]]:
    """A run, and the arguments that name its configuration and lake."""
    folder = tmp_path_factory.mktemp("trained")
    conf = toy_conf(MODELS, "prune.select=last", "train.epochs=1", "net.mask_output=false", "prune.rate=0.6")
    lake = write_toy_lake(Lake.at(str(folder / "lake")), conf)
    path = folder / "conf.yaml"
    path.write_text(yaml.safe_dump(conf.model_dump(), sort_keys=False))
    arguments = ["--conf", str(path), "--lake", lake.root, "--quiet"]
    assert main(["train", *arguments]) == 0
    return Run.of(conf, lake), arguments


def test_what_has_learnt_nothing_is_not_exported(
    trained: tuple[Run, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    run, arguments = trained
    path = storage.join(run.model_folder("connection_share"), "facts.json")
    facts = storage.read_json(path)
    assert {task: one["soundness"] for task, one in facts["tasks"].items()} == {"ctr": "sound", "cvr": "sound"}
    assert all(0 < one["lowest"] < one["highest"] < 1 for one in facts["tasks"].values())
    # Without the manifest, by which an edited file would be noticed first.
    manifest = manifest_uri(run.folder)
    content = storage.read_bytes(manifest)
    storage.remove(manifest)
    try:
        for soundness, word in (("constant", "one value"), ("chance", "of chance"), ("perfect", "exactly perfect")):
            tasks = {**facts["tasks"], "ctr": {**facts["tasks"]["ctr"], "soundness": soundness}}
            storage.write_json(path, {**facts, "tasks": tasks})
            assert main(["export", *arguments]) == 1
            said = capsys.readouterr().err
            assert f"ctr of connection_share is not exported: {'' if word == 'one value' else 'its figure is '}" in said
            assert word in said
            assert not Path(run.folder, "connection_share", "serving").exists()
    finally:
        storage.write_json(path, facts)
        storage.write_bytes(manifest, content)


def test_what_is_written_predicts_as_the_model_does(
    trained: tuple[Run, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    run, arguments = trained
    assert main(["export", *arguments]) == 0
    printed = capsys.readouterr().out
    place = Path(run.folder, "connection_share", "serving")
    assert sorted(path.name for path in place.iterdir()) == [
        "ctr.json", "ctr.onnx", "ctr.pt2", "cvr.json", "cvr.onnx", "cvr.pt2", "mlflow",
    ]  # fmt: skip
    assert f"models: {place}" in printed
    ids, _, _ = toy_rows(777, seed=5)
    expected = Predictor.load(run.folder, "connection_share", run.conf, field_sizes(run)).predict(ids)
    for task in ("ctr", "cvr"):
        card = storage.read_json(str(place / f"{task}.json"))
        for ending, read in (("pt2", torch_predictor), ("onnx", onnx_predictor)):
            content = (place / f"{task}.{ending}").read_bytes()
            assert card["bytes"][ending] == len(content)
            assert card["difference"][ending] <= card["difference_allowed"] == TOLERANCE
            predict = read(content)
            for rows in (1, 777):
                found = predict(Features.of_ids(torch.from_numpy(ids[:rows])))
                np.testing.assert_allclose(found.numpy(), expected[task][:rows], atol=TOLERANCE)
        assert card["run_id"] == run.run_id
        assert card["model"] == "connection_share"
        assert card["tables"] == run.versions
        assert card["fields"] == list(run.conf.fields)
        assert card["input"] == {"name": "ids", "dtype": "int64", "shape": ["batch", 2], "other_ids": "as 0"}
        assert card["output"]["name"] == f"p{task}"
        assert card["layers"]["before"] == [24, 16, 8, 1]
        assert all(after <= before for before, after in zip(*card["layers"].values(), strict=True))
        assert card["macs"]["before"] == 24 * 16 + 16 * 8 + 8
        assert card["macs"]["after"] < card["macs"]["before"]
        assert card["parameters"]["after"] < card["parameters"]["before"]
        assert f"{card['macs']['before']:,} -> {card['macs']['after']:,}" in printed


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--run", "toy-nobodys"], 1, "holds no finished run 'toy-nobodys', it has toy-"),
        (["--model", "layer_share"], 2, r"--model names layer_share, run toy-\w+ has connection_share, mmoe"),
        (["--task", "ctr,finish"], 2, r"--task names finish, run toy-\w+ has ctr, cvr"),
        (["--model", "mmoe"], 1, "MMoE has no subnetwork for cvr that is inputs and FC layers alone"),
    ],
)
def test_what_is_not_there_is_one_line_that_says_what_is(
    trained: tuple[Run, list[str]], capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    capsys.readouterr()
    assert main(["export", *trained[1], *arguments]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line), line


def test_a_lake_without_a_run_or_no_lake_is_said(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    demo = ["export", "--conf", str(ROOT / "conf" / "demo.yaml"), "--lake", lake.root]
    assert main(demo) == 1
    assert "there is no lake at" in capsys.readouterr().err
    Path(lake.root).mkdir()
    assert main(demo) == 1
    assert "has no trained run; run `ncs train`" in capsys.readouterr().err


def test_a_program_that_predicts_otherwise_is_not_written(
    trained: tuple[Run, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = trained
    net = Predictor.load(run.folder, "connection_share", run.conf, field_sizes(run)).nets["ctr"]

    class Wrong(ServingNet):
        def forward(self, ids: Tensor, numbers: Tensor | None = None) -> Tensor:
            return super().forward(ids, numbers) + 1e-3

    monkeypatch.setattr(blend, "ServingNet", Wrong)
    with pytest.raises(ExportError, match="pt2 program of ctr predicts otherwise than the trained model"):
        exporting.export(net, named_tasks(run.conf)["ctr"])


def test_without_the_packages_of_onnx_the_remedy_is_named(
    trained: tuple[Run, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["export", *trained[1]]) == 1
    assert "need the package onnxruntime, which is not installed; pip install 'ncs[serving]'" in capsys.readouterr().err
