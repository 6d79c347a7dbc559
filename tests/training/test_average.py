"""Averaged weights: the plain recursion, also of embedding rows that few steps have; what a model is kept with."""

import pytest
import torch

from ncs.lake.layout import Lake
from ncs.runs.run import Run
from ncs.training.average import WeightAverage
from ncs.training.cluster import Cluster
from ncs.training.store import Store
from tests.factories import toy_conf, write_toy_lake
from tests.training.faults import killed, same, saved_state, trained


@torch.no_grad()
def test_rows_that_few_steps_have_are_averaged_over_all() -> None:
    random = torch.Generator().manual_seed(1)
    dense, table = torch.zeros(3), torch.randn(6, 2, generator=random)
    average = WeightAverage(0.9, dense, {"table": table})
    expected_dense, expected = dense.clone(), table.clone()
    for step in range(1, 40):
        rows = torch.randperm(6, generator=random)[: step % 4]
        average.begin_step()
        average.before("table", rows)
        table[rows] += torch.randn(len(rows), 2, generator=random)
        average.after("table", rows)
        dense += torch.randn(3, generator=random)
        average.end_step()
        kept = min(0.9, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * table
        expected_dense = kept * expected_dense + (1 - kept) * dense
    own = dense.clone(), table.clone()
    with average.in_place():
        torch.testing.assert_close(dense, expected_dense)
        torch.testing.assert_close(table, expected)
    assert torch.equal(dense, own[0])
    assert torch.equal(table, own[1]), "training goes on with its own weights"


@pytest.mark.fault(ends="goes on")
@pytest.mark.parametrize("artefact", ["joint.checkpoint-0002", "validation-ctr", "refit.checkpoint-0002"])
def test_interrupted_it_averages_on_and_is_refitted(whole: Run, lake: Lake, artefact: str) -> None:
    write_toy_lake(lake, whole.conf)
    killed(lake, whole.conf, lambda _, name: name == artefact)
    assert same(saved_state(trained(lake, whole.conf), "layer_share"), saved_state(whole, "layer_share"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    settings = ("train.models=[layer_share]", "train.average=0.95", "train.epochs=3", "train.patience=3")
    conf = toy_conf(*settings, "train.refit=true", "train.learning_rate=0.0003")
    run = trained(write_toy_lake(Lake.at(str(tmp_path_factory.mktemp("whole"))), conf), conf)
    logged = Store(run.model_folder("layer_share"), Cluster()).logged()
    kept = [epoch.epoch for epoch in logged if epoch.phase == "refit"]
    assert len(kept) > 1, "or no checkpoint of the refit is written"
    return run
