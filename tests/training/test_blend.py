"""A net and trees averaged: both as they are when trained alone, with shares that validation chooses."""

import numpy as np
import pytest
import torch

from ncs.errors import ConfigError, ExportError
from ncs.lake.layout import Lake
from ncs.models.blend import Blend, best_share
from ncs.runs.predictor import Predictor, validation_rows
from ncs.runs.run import Run, field_sizes
from ncs.runs.side_by_side import train_side_by_side
from ncs.training.cluster import Cluster
from ncs.training.store import Store
from tests.factories import RICH, rich_rows, toy_conf, write_toy_lake
from tests.training.faults import trained

PARTS = ("layer_share", "connection_share", "gbdt")
BLENDS = ("layer_share_gbdt", "connection_share_gbdt")
CONF = toy_conf(*RICH, f"train.models=[{', '.join(PARTS + BLENDS)}]", "train.refit=true")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(write_toy_lake(Lake.at(str(tmp_path_factory.mktemp("blend") / "lake")), CONF), CONF)


def predictor(run: Run, model: str) -> Predictor:
    return Predictor.load(run.folder, model, run.conf, field_sizes(run))


@pytest.mark.parametrize("model", BLENDS)
def test_its_parts_are_what_they_are_alone(run: Run, model: str) -> None:
    inputs, *_ = rich_rows(500, seed=77)
    blend, net, trees = predictor(run, model), predictor(run, model.removesuffix("_gbdt")), predictor(run, "gbdt")
    both, of_net, of_trees = (each.predict(*inputs) for each in (blend, net, trees))
    for n, (task, kept) in enumerate(blend.nets.items()):
        assert isinstance(kept, Blend)
        share = kept.shares[n].item()
        assert 0 <= share <= 1
        assert both[task] == pytest.approx(share * of_net[task] + (1 - share) * of_trees[task], abs=1e-6)
        for layer, mask in net.nets[task].task_masks.get(task, {}).items():
            assert torch.equal(kept.task_masks[task][layer], mask)
    own = run.facts(model)
    assert own.parameters == run.facts(model.removesuffix("_gbdt")).parameters + run.facts("gbdt").parameters
    assert own.density == run.facts(model.removesuffix("_gbdt")).density


def test_alone_in_a_run_it_trains_its_parts_to_the_same_bits(
    run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    conf = CONF.with_keys({"train.models": ["layer_share_gbdt"]})
    lake = write_toy_lake(Lake.at(str(tmp_path_factory.mktemp("alone") / "lake")), conf)
    alone = trained(lake, conf)
    inputs, *_ = rich_rows(500, seed=77)
    first, second = (predictor(each, "layer_share_gbdt").predict(*inputs) for each in (run, alone))
    assert all(np.array_equal(first[task], second[task]) for task in first)
    assert seconds(run, "layer_share_gbdt").keys() == seconds(alone, "layer_share_gbdt").keys()


def test_what_the_run_has_trained_is_taken_also_side_by_side(run: Run, lake: Lake) -> None:
    conf = CONF.with_keys({"train.models": ["layer_share_gbdt", "layer_share", "gbdt"]})
    other = Run.of(conf, write_toy_lake(lake, conf))
    train_side_by_side(other, 2, quiet=True)
    for each in (run, other):
        assert seconds(each, "layer_share_gbdt") == seconds(each, "layer_share") | seconds(each, "gbdt")


def seconds(run: Run, model: str) -> dict[tuple[object, ...], float]:
    """What each epoch took: no two trainings take the same to the last digit."""
    return {epoch.key: epoch.seconds for epoch in Store(run.model_folder(model), Cluster()).logged()}


def test_parts_of_other_settings_are_not_taken(tmp_path_factory: pytest.TempPathFactory) -> None:
    wide = "models.layer_share={set: {net.hidden: [20, 8]}}"
    conf = toy_conf(*RICH, "train.models=[layer_share, layer_share_gbdt]", wide)
    run = trained(write_toy_lake(Lake.at(str(tmp_path_factory.mktemp("wide") / "lake")), conf), conf)
    net = predictor(run, "layer_share_gbdt").nets["ctr"]
    assert isinstance(net, Blend)
    assert net.net.spec.net.hidden == [16, 8]
    assert run.facts("layer_share").parameters > net.net.size()


@pytest.mark.parametrize("model", BLENDS)
@pytest.mark.parametrize("task", ["ctr", "cvr"])
def test_on_validation_rows_it_errs_no_more_than_either(run: Run, model: str, task: str) -> None:
    errors = {
        name: np.mean((predictions - labels) ** 2)
        for name in (model, model.removesuffix("_gbdt"), "gbdt")
        for labels, predictions in [validation_rows(run.model_folder(name), task)]
    }
    assert errors.pop(model) <= min(errors.values())


def test_the_share_is_that_of_the_least_squared_error() -> None:
    drawn = np.random.default_rng(3)
    labels = drawn.random(400)
    first, second = labels + drawn.normal(0, 0.1, 400), labels + drawn.normal(0, 0.2, 400)
    shares = np.linspace(0, 1, 10_001)
    errors = [np.mean((share * first + (1 - share) * second - labels) ** 2) for share in shares]
    assert best_share(first, second, labels) == pytest.approx(shares[np.argmin(errors)], abs=1e-4)
    assert best_share(labels, second, labels) == 1
    assert best_share(2 * labels - first, labels, labels) == 0
    assert best_share(first, first, labels) == 0.5


def test_it_has_no_network_to_export(run: Run) -> None:
    with pytest.raises(ExportError, match="gbdt has trees for ctr, no network to export"):
        predictor(run, "layer_share_gbdt").nets["ctr"].subnetwork("ctr")


@pytest.mark.parametrize("net", ["gbdt", "blend", "nothing"])
def test_it_is_of_a_net(net: str) -> None:
    with pytest.raises(ConfigError, match=r"net.blend: .*Input should be '.*'layer_share'.*'single_task'"):
        toy_conf(f"net.blend={net}")
