"""Every variant and control of the catalogue, trained for real: what each promises of its masks holds."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ncs.lake import storage
from ncs.lake.documents import Conflict, read_document
from ncs.lake.layout import Lake
from ncs.metrics import auc
from ncs.models import build
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from ncs.runs.training import train
from ncs.training.cluster import Cluster
from ncs.training.store import Store
from tests.factories import toy_conf, toy_rows, write_toy_lake

MASKED = [
    "connection_share",
    "connection_share_wide",
    "movement_share",
    "neuron_share",
    "sparse_share",
    "lottery_ticket",
    "dimension_share",
    "disjoint_share",
    "fisher_share",
    "learnt_share",
    "staged_share",
]
CONTROLS = ["full_share_theta", "layer_share_theta", "layer_share_pruned", "random_masks", "swapped_masks"]
OTHERS = [
    "read_share",
    "split_share",
    "owned_share",
    "staged_random",
    "staged_unread",
    "cvr_mask_for_all",
    "wide_towers",
    "full_share",
    "single_task_dot",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    names = ", ".join([*MASKED, *CONTROLS, *OTHERS])
    conf = toy_conf(f"train.models=[{names}]", "prune.rounds=1", "train.epochs=3", "prune.select=last")
    run = Run.of(conf, write_toy_lake(Lake.at(str(tmp_path_factory.mktemp("lake"))), conf))
    train(run, Cluster(), lambda _: None, quiet=True)
    return run


def masks(run: Run, model: str) -> dict[str, dict[str, torch.Tensor]]:
    return Store(run.model_folder(model), Cluster()).load("model")["masks"]


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("model", [*MASKED, *CONTROLS, *OTHERS])
def test_it_learns(run: Run, model: str) -> None:
    ids, clicked, _ = toy_rows(4000, seed=99)
    predicted = Predictor.load(run.folder, model, run.conf, field_sizes(run)).predict(ids)
    assert auc(clicked, predicted["ctr"]) > 0.58
    assert all(((values > 0) & (values < 1)).all() for values in predicted.values())


def test_the_dense_net_says_how_far_its_tasks_conflict(run: Run) -> None:
    found = read_document(f"{run.model_folder('full_share')}/conflict.json", Conflict, "train again")
    assert found.theta == {}
    assert list(found.final) == ["embedding", "hidden.0", "hidden.1"]
    assert all(-1 <= layer.cosine <= 1 and 0 <= layer.negative <= 1 for layer in found.final.values())


def test_controls_differ_from_the_model_in_their_masks_alone(run: Run) -> None:
    own = masks(run, "connection_share")
    assert masks(run, "full_share_theta") == masks(run, "layer_share_theta") == {}
    assert all(equal(masks(run, "layer_share_pruned")[task], own[task]) for task in own)
    assert equal(masks(run, "swapped_masks")["ctr"], own["cvr"])
    assert equal(masks(run, "cvr_mask_for_all")["ctr"], own["cvr"])
    random = masks(run, "random_masks")
    for task, layers in own.items():
        assert {name: int(mask.sum()) for name, mask in random[task].items()} == {
            name: int(mask.sum()) for name, mask in layers.items()
        }
    assert not equal(random["ctr"], own["ctr"])


def test_equal_searches_are_run_once(run: Run) -> None:
    # connection_share with its controls, the wide one with its own, staged_share with its own; movement, neurons,
    # dimensions, Fisher, learnt, a price, no theta, no round.
    assert len(list(Path(run.folder).glob("search-*"))) == 11
    lines = {name: Store(run.model_folder(name), Cluster()).logged() for name in ("connection_share", "random_masks")}
    searches = [[epoch for epoch in found if epoch.phase != "joint"] for found in lines.values()]
    assert searches[0] == searches[1], "the search counts for each that uses it"


def test_movement_keeps_the_share_of_each_task_in_one_round(run: Run) -> None:
    found = masks(run, "movement_share")
    for task, kept in (("ctr", 0.30), ("cvr", 0.18)):
        whole = torch.cat([mask.flatten() for mask in found[task].values()])
        assert float(whole.mean()) == pytest.approx(kept, abs=0.001)
    described = storage.read_json(storage.join(run.model_folder("movement_share"), "masks.json"))
    assert described["rounds"]["cvr"][1]["validation"] is None, "nothing hangs on the last mask's score"


def test_neurons_go_whole(run: Run) -> None:
    for layers in masks(run, "neuron_share").values():
        first = layers["hidden.0"]
        assert 0 < float(first.mean()) < 1
        assert torch.equal(first, first.amax(1, keepdim=True).expand_as(first))


def test_dimensions_go_with_all_their_products(run: Run) -> None:
    for layers in masks(run, "dimension_share").values():
        columns = layers["hidden.0"].amax(0)
        assert torch.equal(layers["hidden.0"], columns.expand_as(layers["hidden.0"]))
        user, video, products = columns[:4], columns[4:8], columns[8:]
        assert torch.equal(products, torch.outer(user, video).flatten()), "a dimension is private, or it is not"
        assert int(columns[:8].sum()) == 8 - int(0.3 * 8)


def test_a_price_keeps_the_tasks_apart(run: Run) -> None:
    found = masks(run, "disjoint_share")
    own = masks(run, "connection_share")
    for name in ("hidden.0", "hidden.1"):
        both = float((found["ctr"][name] * found["cvr"][name]).mean())
        assert both < float((own["ctr"][name] * own["cvr"][name]).mean())


def test_learnt_masks_have_their_budget(run: Run) -> None:
    for layers in masks(run, "learnt_share").values():
        assert float(torch.cat([mask.flatten() for mask in layers.values()]).mean()) == pytest.approx(0.7, abs=0.001)


def test_stages_share_what_the_first_task_keeps(run: Run) -> None:
    found, unread = masks(run, "staged_share"), masks(run, "staged_unread")
    for name in ("hidden.0", "hidden.1"):
        assert found["cvr"][name].all(), "it reads CTR's and has the rest"
        assert torch.equal(unread["cvr"][name], 1 - unread["ctr"][name])
    assert equal(found["ctr"], unread["ctr"])
    assert not equal(found["ctr"], masks(run, "staged_random")["ctr"])


def test_sparse_sharing_starts_from_the_initial_weights(run: Run) -> None:
    initial = build(run.conf.for_model("sparse_share"), field_sizes(run), run.conf.train.seed).state_dict()
    thetas = [torch.load(path)["inputs.embedding.table"] for path in Path(run.folder).glob("search-*/theta.pt")]
    equal_thetas = sum(torch.equal(theta, initial["inputs.embedding.table"]) for theta in thetas)
    assert equal_thetas == 2, "its own, and that of read_share, which searches nothing"


def test_a_ticket_is_each_tasks_own(run: Run) -> None:
    model = Store(run.model_folder("lottery_ticket"), Cluster()).load("model")
    tables = [model["net"][f"nets.{task}.inputs.embedding.table"] for task in ("ctr", "cvr")]
    assert not torch.equal(*tables)
    for task, layers in model["masks"].items():
        kept = sum(float(mask.sum()) for mask in layers.values()) / sum(mask.numel() for mask in layers.values())
        assert kept == pytest.approx(0.7, abs=0.01), task


def test_a_model_says_what_it_costs(run: Run) -> None:
    shared, towers = run.facts("full_share_theta"), run.facts("layer_share_theta")
    hidden = sum(weights.numel() for weights in masks(run, "connection_share")["ctr"].values())
    assert towers.parameters - shared.parameters == pytest.approx(hidden, rel=0.1)
    union = run.facts("connection_share")
    assert 0.69 < union.density < 0.71
    assert shared.parameters * 0.7 < union.parameters < shared.parameters
    assert all(np.isfinite(run.facts(name).skill) for name in run.conf.train.models)
