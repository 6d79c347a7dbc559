"""STEM, AITM, AdaTT and HoME against their equations, and whom each task's loss reaches."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ncs.data_loading import Features
from ncs.models import model_type
from ncs.models.home import FeatureGate
from ncs.nets.model import Model, NetSpec
from tests.factories import RICH, rich_rows, toy_conf
from tests.training.known import (
    IDS,
    TASKS,
    batch,
    built,
    check_logits,
    expert,
    gradients,
    inputs,
    layer,
    mixed,
    relu,
    tower,
    weighted,
)

SIZES = {"user_id": 61, "video_id": 41, "tag": 10}
MODELS = ["stem", "aitm", "adatt", "home"]


@pytest.mark.parametrize("task", TASKS)
def test_stem_mixes_experts_on_shared_and_on_each_tasks_embeddings(task: str) -> None:
    model = built("stem", "net.ple={shared: 2, own: 2, levels: 1}")
    weights = model.state_dict()
    shared = model.shared_inputs(IDS).tolist()
    own = {name: model.own_inputs[name](IDS).tolist() for name in TASKS}
    expected = []
    for n, x in enumerate(shared):
        experts = [expert(weights, f"own.{name}", k, 2, own[name][n]) for name in TASKS for k in range(2)]
        experts += [expert(weights, "shared", k, 2, x) for k in range(2)]
        both = [a + b for a, b in zip(own[task][n], x, strict=True)]
        expected.append(tower(model.towers[task], mixed(weights[f"gates.{task}.scores.weight"], both, experts)))
    check_logits(model, task, expected)


def test_stem_reads_another_tasks_private_parts_and_leaves_them_alone() -> None:
    model = built("stem")
    moved = gradients(model, batch(), "ctr")
    private = [name for name in moved if name.startswith(("own", "own_inputs"))]
    assert private, "its own private part learns"
    assert all(".ctr." in name for name in private)
    assert any(name.startswith("shared_inputs") for name in moved)
    before = model.logits(IDS, "ctr")
    model.own_inputs["cvr"].embedding.table.data += 0.3
    assert not torch.equal(model.logits(IDS, "ctr"), before), "it is read"


def test_stems_control_is_the_same_net_without_a_stop() -> None:
    model, control = built("stem"), built("multi_embedding")
    assert torch.equal(control.logits(IDS, "ctr"), model.logits(IDS, "ctr"))
    moved, more = gradients(model, batch(), "ctr"), gradients(control, batch(), "ctr")
    assert {name for name in more if name.startswith("own.cvr")} - moved.keys()
    assert "own_inputs.cvr.embedding" in more.keys() - moved.keys()


def aitm_by_hand(model: Model, task: str, x: list[float]) -> float:
    weights, known = model.state_dict(), None
    for name in TASKS:
        own = x
        for n in range(2):
            own = relu(layer(weights[f"bodies.{name}.{n}.weight"], weights[f"bodies.{name}.{n}.bias"], own))
        if known is not None:
            at = f"transfers.{name}"
            passed = relu(layer(weights[f"{at}.passed.weight"], weights[f"{at}.passed.bias"], known))
            scores = [
                math.fsum(
                    k * q
                    for k, q in zip(
                        layer(weights[f"{at}.key.weight"], None, u),
                        layer(weights[f"{at}.query.weight"], None, u),
                        strict=True,
                    )
                )
                / math.sqrt(len(own))
                for u in (passed, own)
            ]
            e = [math.exp(score) for score in scores]
            values = [layer(weights[f"{at}.value.weight"], None, u) for u in (passed, own)]
            own = weighted([value / sum(e) for value in e], values)
        known = own
        if name == task:
            break
    (logit,) = layer(weights[f"towers.{task}.weight"], weights[f"towers.{task}.bias"], known or [])
    return logit


@pytest.mark.parametrize("task", TASKS)
def test_aitm_passes_what_a_task_knows_to_the_next(task: str) -> None:
    model = built("aitm")
    check_logits(model, task, [aitm_by_hand(model, task, x) for x in inputs(model)])


def test_aitm_transfers_forwards_alone() -> None:
    model = built("aitm")
    assert not any("cvr" in name or "finish" in name for name in gradients(model, batch(), "ctr"))
    moved = gradients(model, batch(), "finish")
    assert {"bodies.ctr.0.weight", "bodies.cvr.0.weight", "transfers.cvr.key.weight"} <= moved.keys()


@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("task", TASKS)
def test_adatt_adds_a_tasks_own_experts_to_a_mixture_of_all(task: str, levels: int) -> None:
    model = built("adatt", f"net.ple={{shared: 1, own: 2, levels: {levels}}}")
    weights = model.state_dict()
    expected = []
    for x in inputs(model):
        outputs = dict.fromkeys(TASKS, x)
        for n in range(levels):
            at = f"levels.{n}"
            own = {one: [expert(weights, f"{at}.experts.{one}", k, 2, outputs[one]) for k in range(2)] for one in TASKS}
            every = [vector for vectors in own.values() for vector in vectors]
            outputs = {
                one: [
                    a + b
                    for a, b in zip(
                        mixed(weights[f"{at}.gates.{one}.scores.weight"], outputs[one], every),
                        weighted(weights[f"{at}.native.{one}.weight"][0].tolist(), own[one]),
                        strict=True,
                    )
                ]
                for one in TASKS
            }
        expected.append(tower(model.towers[task], outputs[task]))
    check_logits(model, task, expected)


def home_group(model: Model, at: str, x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Experts [batch, count, out] and their own mixture, from the weights by name."""
    w = model.state_dict()
    gate = torch.sigmoid(x @ w[f"{at}.features.down.weight"].T @ w[f"{at}.features.up.weight"].T)
    weight, bias = w[f"{at}.experts.layers.0.weight"], w[f"{at}.experts.layers.0.bias"]
    experts = []
    for of, offset in zip(weight.chunk(count), bias.chunk(count), strict=True):
        values = (2 * gate * x) @ of.T + offset
        centred = values - values.mean(1, keepdim=True)
        normal = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
        experts.append(normal * torch.sigmoid(normal))
    scores = x @ w[f"{at}.self_gate.weight"].T
    shares = scores.softmax(1) if count > 1 else scores.sigmoid()
    return torch.stack(experts, 1), sum(shares[:, [n]] * one for n, one in enumerate(experts))


@pytest.mark.parametrize("task", TASKS)
def test_home_gates_features_experts_and_levels(task: str) -> None:
    model = built("home", "net.ple={shared: 2, own: 1, levels: 1}")
    w = model.state_dict()

    def mix(at: str, x: Tensor, experts: Tensor) -> Tensor:
        return ((x @ w[f"{at}.scores.weight"].T).softmax(1).unsqueeze(2) * experts).sum(1)

    x = model.inputs(IDS)
    common, of_common = home_group(model, "lower.shared", x, 2)
    groups = {name: home_group(model, f"lower.own.{name}", x, 1) for name in TASKS}
    experts, of_own = groups[task]
    own = mix(f"lower.gates.{task}", x, torch.cat([experts, common], 1)) + of_own
    shared = mix("lower.shared_gate", x, torch.cat([*(one for one, _ in groups.values()), common], 1)) + of_common
    both = torch.cat([own, shared], 1)
    experts, of_own = home_group(model, f"upper.own.{task}", both, 1)
    upper, _ = home_group(model, "upper.shared", shared, 2)
    output = mix(f"upper.gates.{task}", both, torch.cat([experts, upper], 1)) + of_own
    torch.testing.assert_close(model.logits(IDS, task), model.towers[task](output), rtol=1e-4, atol=1e-5)


def test_a_feature_gate_starts_open() -> None:
    x = torch.randn(4, 6)
    gate = FeatureGate(6)
    assert torch.equal(gate(x), x)
    gate.up.weight.data.fill_(10.0)
    assert (gate(x).abs() <= 2 * x.abs()).all()
    assert not torch.equal(gate(x), x)


@pytest.mark.parametrize("name", MODELS)
def test_features_of_all_kinds_reach_the_prediction(name: str) -> None:
    """Ids, lists, numbers, vectors, statistics, a history by attention: each changes it, and has its gradient."""
    conf = toy_conf(*RICH)
    torch.manual_seed(3)
    model = model_type(conf.for_model(name)).build(NetSpec.of(conf.for_model(name), SIZES)).eval()
    arrays, _, _ = rich_rows(8, seed=3)
    features = Features(torch.from_numpy(arrays.ids), torch.from_numpy(arrays.numbers))
    before = model.logits(features, "cvr")
    layout = conf.layout
    for block, spans in (("ids", layout.id_spans), ("numbers", layout.number_spans)):
        for feature, span in spans.items():
            values = {"ids": features.ids.clone(), "numbers": features.numbers.clone()}
            values[block][:, span] = 3
            after = model.logits(Features(**values), "cvr")
            assert after.isfinite().all()
            assert not torch.equal(after, before), feature
    F.mse_loss(before, torch.ones(8)).backward()
    attentions = [weight.grad for weight_name, weight in model.named_parameters() if "attentions" in weight_name]
    assert any(grad is not None and grad.any() for grad in attentions)
