"""The models' equations on small cases, and LayerShare as an instance of masks (paper section 2.2)."""

import pytest
import torch
from torch import Tensor

from ncs.data_loading import Features
from ncs.models import model_type
from ncs.models.layer_share import LayerShare
from ncs.models.single_task import SingleTask
from ncs.nets.inputs import Inputs
from ncs.nets.masked import MaskedNet
from ncs.nets.model import Model
from ncs.pruning.mask import Mask
from tests.factories import toy_conf, toy_spec

SPEC, TASKS = toy_spec(), ("ctr", "cvr")
IDS = Features.of_ids(torch.tensor([[0, 0, 0], [4, 6, 2], [1, 3, 2]]))


def test_the_input_is_the_embeddings_and_their_kronecker_products() -> None:
    inputs = Inputs(SPEC.inputs)
    table, (user, video, scene) = inputs.embedding.table, (1, 5 + 3, 5 + 7 + 2)
    row = inputs(IDS)[2]
    expected = torch.cat(
        [
            table[user], table[video], table[scene],
            torch.kron(table[user], torch.cat([table[video], table[scene]])),
        ]
    )  # fmt: skip
    torch.testing.assert_close(row, expected)
    assert row.shape == (SPEC.inputs.width,) == (3 * 2 + 2 * 4,)


def by_hand(x: Tensor, *layers: torch.nn.Linear) -> Tensor:
    for layer in layers[:-1]:
        x = torch.clamp(x @ layer.weight.T + layer.bias, min=0)
    return (x @ layers[-1].weight.T + layers[-1].bias).squeeze(1)


@pytest.mark.parametrize("name", list(toy_conf().models))
def test_every_model_predicts_a_probability_for_every_task(name: str) -> None:
    predicted = of_catalogue(name).predict(IDS)
    assert set(predicted) == set(TASKS)
    for values in predicted.values():
        assert values.shape == (3,)
        assert ((values > 0) & (values < 1)).all()
    again = of_catalogue(name).predict(IDS)
    assert all(torch.equal(predicted[task], again[task]) for task in TASKS)


def of_catalogue(name: str) -> Model:
    torch.manual_seed(1)
    spec = toy_spec(model=name)
    return model_type(toy_conf().for_model(name)).build(spec).eval()


def test_single_task_has_nothing_in_common_and_layer_share_the_embedding() -> None:
    single, shared = SingleTask(SPEC), LayerShare(SPEC)
    assert [group.tasks for group in single.groups] == [("ctr",), ("cvr",)]
    assert [group.tasks for group in shared.groups] == [("ctr", "cvr")]
    tables = [name for name, _ in shared.named_parameters() if name.endswith("table")]
    assert tables == ["inputs.embedding.table"]
    single.logits(IDS, "ctr").sum().backward()
    assert all(weight.grad is None for name, weight in single.named_parameters() if ".cvr." in name)


def test_layer_share_follows_its_equations() -> None:
    model = LayerShare(SPEC)
    tower = model.towers["cvr"]
    expected = by_hand(model.inputs(IDS), *tower.hidden, tower.output)
    torch.testing.assert_close(model.logits(IDS, "cvr"), expected)


def test_a_mask_is_applied_in_the_forward_pass_and_the_weights_stay() -> None:
    net = MaskedNet(SPEC)
    mask = Mask({name: (torch.rand_like(w) < 0.5).float() for name, w in net.maskable("ctr").items()})
    weight = net.maskable("ctr")["hidden.0"]
    stored = weight.clone()
    whole = net.logits(IDS, "ctr")
    net.task_masks = {"ctr": mask}
    under = net.logits(IDS, "ctr")
    assert torch.equal(weight, stored)
    assert not torch.equal(whole, under)
    for name, weight in net.maskable("ctr").items():
        weight.data *= mask[name]
    net.task_masks = {}
    torch.testing.assert_close(net.logits(IDS, "ctr"), under)


def test_layer_share_is_an_instance_of_masks_output_for_output() -> None:
    """Disjoint blocks of a net twice as wide are two towers, the embedding stays shared."""
    layers = LayerShare(SPEC)
    net = MaskedNet(toy_spec("net.hidden=[12, 8]"))
    hidden = net.hidden("ctr")
    net.inputs.load_state_dict(layers.inputs.state_dict())
    masks: dict[str, dict[str, Tensor]] = {task: {} for task in TASKS}
    for n, width in enumerate(SPEC.net.hidden):
        before = SPEC.inputs.width if n == 0 else SPEC.net.hidden[n - 1]
        for k, task in enumerate(TASKS):
            tower = layers.towers[task].hidden[n]
            rows = slice(k * width, (k + 1) * width)
            columns = slice(0, before) if n == 0 else slice(k * before, (k + 1) * before)
            hidden[n].weight.data[rows, columns] = tower.weight.data
            hidden[n].bias.data[rows] = tower.bias.data
            masks[task][f"hidden.{n}"] = torch.zeros_like(hidden[n].weight)
            masks[task][f"hidden.{n}"][rows, columns] = 1
    for k, task in enumerate(TASKS):
        rows = slice(k * SPEC.net.hidden[-1], (k + 1) * SPEC.net.hidden[-1])
        net.outputs[task].weight.data[:, rows] = layers.towers[task].output.weight.data
        net.outputs[task].bias.data[:] = layers.towers[task].output.bias.data
        masks[task]["output"] = torch.zeros_like(net.outputs[task].weight)
        masks[task]["output"][:, rows] = 1
    net.task_masks = {task: Mask(layers_) for task, layers_ in masks.items()}
    for task in TASKS:
        torch.testing.assert_close(net.logits(IDS, task), layers.logits(IDS, task))


def test_masks_of_ones_share_everything() -> None:
    net = MaskedNet(SPEC)
    dense = net.logits(IDS, "cvr")
    net.task_masks = {task: Mask.ones(net.maskable(task)) for task in TASKS}
    assert torch.equal(net.logits(IDS, "cvr"), dense)


def test_towers_from_theta_start_as_the_shared_net_and_part_from_it() -> None:
    net, towers = MaskedNet(SPEC), MaskedNet(SPEC, towers=True)
    towers.start_from(net.state_dict())
    for task in TASKS:
        torch.testing.assert_close(towers.logits(IDS, task), net.logits(IDS, task))
    towers.maskable("ctr")["hidden.0"].data += 1
    torch.testing.assert_close(towers.logits(IDS, "cvr"), net.logits(IDS, "cvr"))
    assert not torch.equal(towers.logits(IDS, "ctr"), net.logits(IDS, "ctr"))


def test_task_biases_are_each_tasks_own() -> None:
    net = MaskedNet(toy_spec("share.task_biases=true"))
    before = {task: net.logits(IDS, task) for task in TASKS}
    net.biases["ctr"][0].data += 1
    assert torch.equal(net.logits(IDS, "cvr"), before["cvr"])
    assert not torch.equal(net.logits(IDS, "ctr"), before["ctr"])


def test_dot_interaction_is_the_dot_products_of_all_pairs() -> None:
    inputs = Inputs(toy_spec("net.interaction=dot").inputs)
    rows = inputs.embedding(IDS.ids)
    pairs = [(rows[:, i] * rows[:, j]).sum(1) for i, j in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(inputs(IDS), torch.cat([rows.flatten(1), torch.stack(pairs, 1)], 1))
