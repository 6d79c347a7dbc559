"""Members of a net: what they are by definition, in every model of the catalogue, under masks, and as programs."""

from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ncs.data_loading import Batch, Features
from ncs.nets.inputs import Inputs
from ncs.nets.layers import MaskedLinear, Tower
from ncs.nets.masked import MaskedNet
from ncs.nets.members import MemberScales, averaged, repeated
from ncs.nets.model import Model
from ncs.serving.export import Program, export, onnx_predictor, torch_predictor
from ncs.serving.model import ServingNet, macs
from ncs.training.cluster import Cluster
from ncs.training.optim import MaskedAdam
from tests.serving.nets import IDS, masked, of_catalogue

K = 3
MEMBERS = f"net.members={K}"
MODELS = ["single_task", "layer_share", "connection_share", "lottery_ticket", "staged_share", "owned_share", "mmoe"]
MODELS += ["ple_2", "adatt", "home", "stem", "aitm", "snr_trans", "esmm", "esm2"]
ROWS = IDS[torch.arange(0, 105, 4)]


def with_members(name: str, *overrides: str) -> Model:
    """A model with members, their factors away from where they start."""
    net = of_catalogue(name, MEMBERS, *overrides)
    torch.manual_seed(4)
    for scales in scales_of(net):
        scales.factors.data.normal_(mean=1.0, std=0.5)
    return net


def scales_of(net: Model) -> list[MemberScales]:
    return [module for module in net.modules() if isinstance(module, MemberScales)]


def batch(features: Features = ROWS) -> Batch:
    rows = features.rows
    clicked = (torch.arange(rows) % 2).float()
    return Batch(features, {"ctr": clicked, "cvr": torch.linspace(0, 1, rows).where(clicked > 0, torch.nan)}, rows)


def clicked(whole: Batch, task: str) -> Batch:
    """The rows that have a label of the task."""
    kept = ~whole.labels[task].isnan()
    return Batch(whole.features[kept], {name: labels[kept] for name, labels in whole.labels.items()}, whole.total)


@pytest.mark.parametrize("name", MODELS)
def test_one_member_has_no_factors(name: str) -> None:
    net = of_catalogue(name, "net.members=1")
    assert not scales_of(net)
    assert net.state_dict().keys() == of_catalogue(name).state_dict().keys()
    for values in (torch.rand(4), torch.rand(4, 2)):
        assert repeated(values, 1) is values
        assert averaged(values, 1) is values


@pytest.mark.parametrize("task", ["ctr", "cvr"])
@pytest.mark.parametrize("name", MODELS)
def test_members_are_nets_with_factors_of_their_own(name: str, task: str) -> None:
    """With one member's factors for all, a net predicts and loses what that member does."""
    net = with_members(name)
    factors = [scales.factors.detach().clone() for scales in scales_of(net)]
    assert factors
    rows = clicked(batch(), task)
    whole, loss = net.probability(ROWS, task), net.loss(rows, task)
    predictions, losses = [], []
    for member in range(K):
        for scales, own in zip(scales_of(net), factors, strict=True):
            scales.factors.data = own.view(K, -1)[member].repeat(K)
        predictions.append(net.probability(ROWS, task))
        losses.append(net.loss(rows, task))
    torch.testing.assert_close(whole, torch.stack(predictions).mean(0))
    torch.testing.assert_close(loss, torch.stack(losses).mean())
    assert not torch.allclose(predictions[0], predictions[1])


@pytest.mark.parametrize("name", MODELS)
def test_with_factors_of_1_all_members_are_the_plain_net(name: str) -> None:
    net, plain = of_catalogue(name, MEMBERS), of_catalogue(name)
    for scales in scales_of(net):
        scales.factors.data.fill_(1.0)
    state = {key: value for key, value in net.state_dict().items() if not key.endswith("factors")}
    plain.load_state_dict(state)
    for task in net.tasks:
        torch.testing.assert_close(net.probability(ROWS, task), plain.probability(ROWS, task))
        rows = clicked(batch(), task)
        torch.testing.assert_close(net.loss(rows, task), plain.loss(rows, task))


@pytest.mark.parametrize("crosses", ["user*video", "[]"])
def test_a_prediction_is_the_mean_of_networks_with_scaled_weights(crosses: str) -> None:
    net = with_members("layer_share", f"net.crosses={crosses}")
    tower, inputs = cast(Tower, cast(nn.ModuleDict, net.towers)["ctr"]), cast(Inputs, net.inputs)
    assert inputs.scales is not None
    base = inputs.embedding(ROWS.ids).flatten(1)
    expected = []
    for member in range(K):
        scaled = base * inputs.scales.factors[member * 6 : member * 6 + 6]
        hidden = torch.cat([scaled, *inputs.cross(scaled.unflatten(1, (3, 2)))], 1)
        for n, layer in enumerate(cast(list[MaskedLinear], tower.hidden)):
            hidden = F.relu(hidden @ scaled_weight(layer, member, n > 0).T + layer.bias)
        logit = hidden @ scaled_weight(tower.output, member, True).T + tower.output.bias
        expected.append(torch.sigmoid(logit.squeeze(1)))
    torch.testing.assert_close(net.probability(ROWS, "ctr"), torch.stack(expected).mean(0))


def scaled_weight(layer: MaskedLinear, member: int, has_scales: bool) -> Tensor:
    assert (layer.scales is not None) == has_scales, "the inputs are scaled already"
    if layer.scales is None:
        return layer.weight
    width = layer.weight.shape[1]
    return layer.weight * layer.scales.factors[member * width : member * width + width]


def test_members_differ_from_the_start_by_signs_of_what_the_first_and_the_last_layer_read() -> None:
    net = of_catalogue("connection_share", MEMBERS)
    of_inputs, of_hidden, *of_outputs = scales_of(net)
    assert of_hidden.factors.eq(1).all()
    for scales in (of_inputs, *of_outputs):
        assert scales.factors.unique().tolist() == [-1.0, 1.0]
    assert all(scales.factors.ndim == 1 for scales in scales_of(net)), "what has one axis does not decay"


def test_what_a_mask_prunes_has_no_influence_and_a_step_leaves_it_as_it_was() -> None:
    net = cast(MaskedNet, with_members("connection_share"))
    masked(net, 0.4)
    before = net.probability(ROWS, "ctr")
    weights, mask = net.maskable("ctr"), net.task_masks["ctr"]
    for name, weight in weights.items():
        weight.data = torch.where(mask[name] > 0, weight, 1e3)
    assert torch.equal(net.probability(ROWS, "ctr"), before)
    optimizer = MaskedAdam(net, Cluster(), 0.01, 0.01, 0.1)
    kept = {name: weight.detach().clone() for name, weight in weights.items()}
    factors = [scales.factors.detach().clone() for scales in scales_of(net)]
    net.train().loss(batch(), "ctr").backward()
    optimizer.step(net.masks("ctr"))
    for name, weight in net.maskable("ctr").items():
        assert torch.equal(weight[mask[name] == 0], kept[name][mask[name] == 0])
        assert not torch.equal(weight, kept[name])
    moved = [not torch.equal(scales.factors, was) for scales, was in zip(scales_of(net), factors, strict=True)]
    assert moved == ["outputs.cvr" not in name for name, module in net.named_modules() if module in scales_of(net)]


@pytest.mark.parametrize("name", MODELS)
def test_a_worker_without_rows_has_a_loss_of_0(name: str) -> None:
    net = with_members(name).train()
    rows = batch(ROWS[:0])
    for task in net.groups[0].samples:
        loss = net.loss(rows, task)
        assert loss.item() == 0
        loss.backward()


@pytest.mark.parametrize("density", [0.35, 1.0])
@pytest.mark.parametrize("overrides", [(), ("net.norm=layer",), ("net.interaction=dot",), ("share.task_biases=true",)])
def test_a_served_net_predicts_what_all_members_do(density: float, overrides: tuple[str, ...]) -> None:
    net = cast(MaskedNet, with_members("connection_share", *overrides))
    masked(net, density)
    for task in net.tasks:
        small = ServingNet(net.spec, *(net.subnetwork(task, member) for member in range(K)))
        torch.testing.assert_close(small(IDS.ids), net.probability(IDS, task))
        torch.testing.assert_close(small(IDS.ids[:1]), net.probability(IDS[:1], task))


@pytest.fixture(scope="module")
def exported() -> tuple[MaskedNet, Program]:
    net = masked(cast(MaskedNet, with_members("connection_share")), 0.5)
    return net, export(net, net.tasks["ctr"])


def test_an_exported_program_predicts_what_all_members_do(exported: tuple[MaskedNet, Program]) -> None:
    net, program = exported
    for predict in (torch_predictor(program.files["pt2"]), onnx_predictor(program.files["onnx"])):
        torch.testing.assert_close(predict(IDS), net.probability(IDS, "ctr"), rtol=0, atol=1e-5)


def test_its_card_counts_the_layers_of_all_members(exported: tuple[MaskedNet, Program]) -> None:
    net, program = exported
    sizes = [net.spec.inputs.width, *net.spec.net.hidden, 1]
    assert program.card["macs"]["before"] == K * macs(sizes)
    assert program.card["layers"]["before"] == [K * size for size in sizes]
    assert program.card["parameters"]["after"] < program.card["parameters"]["before"]
