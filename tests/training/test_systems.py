"""The systems' equations on small cases, and LayerShare as an instance of masks (paper section 2.2)."""

import pkgutil

import pytest
import torch
from torch import Tensor

import ncs.systems
from ncs.nets.inputs import Inputs, InputSpec
from ncs.nets.masked import MaskedNet
from ncs.nets.system import NetSpec, build
from ncs.sharing.mask import Mask
from ncs.systems.layer_share import LayerShare
from ncs.tasks import TASKS

SPEC = NetSpec(InputSpec((5, 7, 3), 2, ((0, 1), (0, 2))), (6, 4), mask_output=True)
IDS = torch.tensor([[0, 0, 0], [4, 6, 2], [1, 3, 2]])


def test_the_input_is_the_embeddings_and_their_kronecker_products() -> None:
    inputs = Inputs(SPEC.inputs)
    table, (user, video, scene) = inputs.embedding.table, (1, 5 + 3, 5 + 7 + 2)
    row = inputs(IDS)[2]
    expected = torch.cat(
        [
            table[user], table[video], table[scene],
            torch.kron(table[user], table[video]), torch.kron(table[user], table[scene]),
        ]
    )  # fmt: skip
    torch.testing.assert_close(row, expected)
    assert row.shape == (SPEC.inputs.width,) == (3 * 2 + 2 * 4,)


def by_hand(x: Tensor, *layers: torch.nn.Linear) -> Tensor:
    for layer in layers[:-1]:
        x = torch.clamp(x @ layer.weight.T + layer.bias, min=0)
    return (x @ layers[-1].weight.T + layers[-1].bias).squeeze(1)


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(ncs.systems.__path__)])
def test_every_system_predicts_a_probability_for_every_task(name: str) -> None:
    system = build(name, SPEC, seed=1)
    predicted = system.predict(IDS)
    assert set(predicted) == set(TASKS)
    for task, values in predicted.items():
        assert values.shape == (3,)
        assert ((values > 0) & (values < 1)).all()
        torch.testing.assert_close(values, torch.sigmoid(system.logits(IDS, task)).detach())
    again = build(name, SPEC, seed=1).predict(IDS)
    assert all(torch.equal(predicted[task], again[task]) for task in TASKS)


def test_single_task_has_nothing_in_common_and_layer_share_the_embedding() -> None:
    single, shared = build("single_task", SPEC, 0), build("layer_share", SPEC, 0)
    assert single.groups == (("ctr",), ("cvr",))
    assert shared.groups == (("ctr", "cvr"),)
    tables = [name for name, _ in shared.named_parameters() if name.endswith("table")]
    assert tables == ["inputs.embedding.table"]
    single.logits(IDS, "ctr").sum().backward()
    assert all(weight.grad is None for name, weight in single.named_parameters() if ".cvr." in name)


def test_layer_share_follows_its_equations() -> None:
    system = LayerShare(SPEC)
    tower = system.towers["cvr"]
    expected = by_hand(system.inputs(IDS), *tower.hidden, tower.output)
    torch.testing.assert_close(system.logits(IDS, "cvr"), expected)


def test_a_mask_is_applied_in_the_forward_pass_and_the_weights_stay() -> None:
    net = MaskedNet(SPEC)
    mask = Mask({name: (torch.rand_like(w) < 0.5).float() for name, w in net.maskable("ctr").items()})
    stored = net.hidden[0].weight.clone()
    whole = net.logits(IDS, "ctr")
    net.task_masks = {"ctr": mask}
    under = net.logits(IDS, "ctr")
    assert torch.equal(net.hidden[0].weight, stored)
    assert not torch.equal(whole, under)
    for name, weight in net.maskable("ctr").items():
        weight.data *= mask[name]
    net.task_masks = {}
    torch.testing.assert_close(net.logits(IDS, "ctr"), under)


def test_layer_share_is_an_instance_of_masks_output_for_output() -> None:
    """Disjoint blocks of a net twice as wide are two towers, the embedding stays shared."""
    layers = LayerShare(SPEC)
    net = MaskedNet(NetSpec(SPEC.inputs, (12, 8), mask_output=True))
    net.inputs.load_state_dict(layers.inputs.state_dict())
    masks: dict[str, dict[str, Tensor]] = {task: {} for task in TASKS}
    for n, width in enumerate(SPEC.hidden):
        before = SPEC.inputs.width if n == 0 else SPEC.hidden[n - 1]
        for k, task in enumerate(TASKS):
            tower = layers.towers[task].hidden[n]
            rows = slice(k * width, (k + 1) * width)
            columns = slice(0, before) if n == 0 else slice(k * before, (k + 1) * before)
            net.hidden[n].weight.data[rows, columns] = tower.weight.data
            net.hidden[n].bias.data[rows] = tower.bias.data
            masks[task][f"hidden.{n}.weight"] = torch.zeros_like(net.hidden[n].weight)
            masks[task][f"hidden.{n}.weight"][rows, columns] = 1
    for k, task in enumerate(TASKS):
        rows = slice(k * SPEC.hidden[-1], (k + 1) * SPEC.hidden[-1])
        net.outputs[task].weight.data[:, rows] = layers.towers[task].output.weight.data
        net.outputs[task].bias.data[:] = layers.towers[task].output.bias.data
        masks[task][f"outputs.{task}.weight"] = torch.zeros_like(net.outputs[task].weight)
        masks[task][f"outputs.{task}.weight"][:, rows] = 1
    net.task_masks = {task: Mask(layers_) for task, layers_ in masks.items()}
    for task in TASKS:
        torch.testing.assert_close(net.logits(IDS, task), layers.logits(IDS, task))


def test_masks_of_ones_share_everything() -> None:
    net = MaskedNet(SPEC)
    dense = net.logits(IDS, "cvr")
    net.task_masks = {task: Mask.ones(net.maskable(task)) for task in TASKS}
    assert torch.equal(net.logits(IDS, "cvr"), dense)
