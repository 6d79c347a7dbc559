"""The tree baseline: trained, kept and predicted with as any other model."""

import sys

import numpy as np
import pytest
import torch

from ncs.data_loading import Features
from ncs.errors import ExportError, TrainingError
from ncs.lake.layout import Lake
from ncs.metrics import auc
from ncs.models import build
from ncs.models.gbdt import Columns, Gbdt
from ncs.nets.model import NetSpec
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from ncs.training.cluster import Cluster
from ncs.training.store import Store
from tests.factories import RICH, rich_rows, toy_conf, write_toy_lake
from tests.training.faults import trained

CONF = toy_conf(*RICH, "train.models=gbdt", "train.refit=true")
SIZES = {"user_id": 61, "video_id": 41, "tag": 10}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(write_toy_lake(Lake.at(str(tmp_path_factory.mktemp("trees") / "lake")), CONF), CONF)


def predictor(run: Run) -> Predictor:
    return Predictor.load(run.folder, "gbdt", run.conf, field_sizes(run))


def test_it_learns_what_the_rows_say(run: Run) -> None:
    inputs, clicked, cvr = rich_rows(4000, seed=77)
    predicted = predictor(run).predict(*inputs)
    assert auc(clicked, predicted["ctr"]) > 0.62
    assert np.nanmean((cvr - predicted["cvr"]) ** 2) < 0.9 * np.nanvar(cvr)
    assert all(((values > 0) & (values < 1)).all() for values in predicted.values())


def test_validation_chooses_the_number_of_trees_and_the_refit_has_as_many(run: Run) -> None:
    epochs = Store(run.model_folder("gbdt"), Cluster()).logged()
    assert [(epoch.phase, epoch.task) for epoch in epochs] == [
        ("trees", "ctr"), ("trees_refit", "ctr"), ("trees", "cvr"), ("trees_refit", "cvr"),
    ]  # fmt: skip
    assert epochs[1].samples > epochs[0].samples
    net = predictor(run).nets["ctr"]
    assert isinstance(net, Gbdt)
    trees = net.text("ctr").count("\nTree=")
    assert 1 <= trees <= CONF.net.gbdt.trees
    leaves = [line for task in ("ctr", "cvr") for line in net.text(task).splitlines() if line.startswith("num_leaves")]
    assert run.facts("gbdt").parameters == sum(int(line.partition("=")[2]) for line in leaves)
    assert run.facts("gbdt").tasks["ctr"].score == epochs[0].validation["ctr_auc"]


def test_the_same_rows_give_the_same_trees(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = trained(write_toy_lake(Lake.at(str(tmp_path_factory.mktemp("again") / "lake")), CONF), CONF)
    assert predictor(other).nets["cvr"].text("cvr") == predictor(run).nets["cvr"].text("cvr")


def test_trees_see_numbers_counts_of_lists_and_ids_of_small_tables() -> None:
    spec = NetSpec.of(toy_conf(*RICH, "net.gbdt.categories=41").for_model("gbdt"), SIZES)
    columns = Columns(spec)
    assert list(columns.single) == ["video_id"], "there are more users than that"
    # user_id, video_id, tag (3), clicked_video_id (4); age, cover (2), user_id_clicked_7d
    features = Features(torch.tensor([[50, 7, 2, 5, 2, 40, -1, -1, -1]]), torch.tensor([[torch.nan, 0.5, -1.0, 2.0]]))
    (row,) = columns.matrix(features)
    tags, history = row[1:11], row[11:52]
    assert row[0] == 7
    assert tags.tolist() == [0, 0, 2, 0, 0, 1, 0, 0, 0, 0]
    assert history.sum() == history[40] == 1
    assert np.isnan(row[52])
    assert row[53:].tolist() == [0.5, -1.0, 2.0]
    assert columns.width == len(row)


def test_without_anything_that_trees_can_split_it_is_refused() -> None:
    with pytest.raises(TrainingError, match="gbdt: no feature is a number, or has at most 5 ids"):
        build(toy_conf("net.gbdt.categories=5").for_model("gbdt"), SIZES, seed=1)


def test_it_is_refused_before_another_model_is_trained(lake: Lake) -> None:
    conf = toy_conf("train.models=[layer_share, layer_share_gbdt]", "net.gbdt.categories=5")
    with pytest.raises(TrainingError, match="gbdt: no feature is a number"):
        trained(write_toy_lake(lake, conf), conf)
    assert Run.of(conf, lake).pending() == ["layer_share", "layer_share_gbdt"]


def test_no_network_is_exported(run: Run) -> None:
    with pytest.raises(ExportError, match="gbdt has trees for ctr, no network to export"):
        predictor(run).nets["ctr"].subnetwork("ctr")


def test_a_missing_package_is_one_line(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(TrainingError, match=r"gbdt needs lightgbm, which is not installed; pip install 'ncs\[trees\]'"):
        trained(write_toy_lake(lake, CONF), CONF)
