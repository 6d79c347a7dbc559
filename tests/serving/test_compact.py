"""What a mask cuts off is left out, and outputs stay what they were."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from ncs.errors import ExportError
from ncs.nets.layers import Layer
from ncs.nets.masked import MaskedNet
from ncs.pruning.mask import Mask
from ncs.serving.compact import compact
from ncs.serving.model import ServingNet, macs
from tests.serving.nets import IDS, masked, of_catalogue


def mlp_forward(layers: list[Layer], input: Tensor) -> Tensor:
    for layer in layers[:-1]:
        input = torch.relu(input @ layer.weight.T + layer.bias)
    return input @ layers[-1].weight.T + layers[-1].bias


def drawn(density: float, widths: tuple[int, ...], seed: int) -> list[Layer]:
    torch.manual_seed(seed)
    shapes = [(after, before) for before, after in pairwise(widths)]
    return [Layer(torch.randn(shape) * (torch.rand(shape) < density), torch.randn(shape[0])) for shape in shapes]


def test_a_constant_neuron_goes_into_the_next_bias_and_an_unread_one_goes() -> None:
    """Neuron 0 reads and is read; 1 reads nothing and gives relu(2); 2 reads nothing and gives 0; 3 is not read."""
    first = Layer(torch.tensor([[1.0, 0.0], [0, 0], [0, 0], [0, 5.0]]), torch.tensor([0.5, 2.0, -2.0, 0.0]))
    last = Layer(torch.tensor([[3.0, 4.0, 7.0, 0.0]]), torch.tensor([1.0]))
    (left, bias), (weight, added) = compact([first, last])
    assert left.tolist() == [[1.0, 0.0]]
    assert bias.tolist() == [0.5]
    assert weight.tolist() == [[3.0]]
    assert added.tolist() == [1 + 4 * 2.0]


def test_what_dies_in_one_layer_takes_others_with_it() -> None:
    """Neuron 0 of the second layer reads only a constant; neuron 1 is not read, and so is what it alone reads."""
    first = Layer(torch.tensor([[0.0], [1.0], [1.0]]), torch.tensor([3.0, 0.0, 0.0]))
    second = Layer(torch.tensor([[2.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]), torch.tensor([-1.0, 0.0, 0.0]))
    last = Layer(torch.tensor([[10.0, 0.0, 1.0]]), torch.tensor([0.0]))
    small = compact([first, second, last])
    assert [tuple(layer.weight.shape) for layer in small] == [(1, 1), (1, 1), (1, 1)]
    assert small[-1].bias.item() == 10 * (2 * 3 - 1)


@pytest.mark.parametrize("density", [0.1, 0.3, 1.0])
@pytest.mark.parametrize("seed", range(8))
def test_outputs_stay_and_nothing_dead_is_left(density: float, seed: int) -> None:
    layers = drawn(density, (9, 8, 7, 1), seed)
    input = torch.randn(50, 9)
    try:
        small = compact(layers)
    except ExportError:
        expected = mlp_forward(layers, input)
        assert torch.equal(expected, expected[:1].expand_as(expected)), "only a constant is refused"
        return
    torch.testing.assert_close(mlp_forward(small, input), mlp_forward(layers, input))
    for before, after in pairwise(small):
        assert (before.weight != 0).any(1).all()
        assert (after.weight != 0).any(0).all()


def test_a_constant_is_refused() -> None:
    with pytest.raises(ExportError, match="no path from inputs to output"):
        compact([Layer(torch.zeros(2, 3), torch.ones(2)), Layer(torch.ones(1, 2), torch.ones(1))])


@pytest.mark.parametrize("interaction", ["kronecker", "dot"])
@pytest.mark.parametrize("biases", ["true", "false"])
@pytest.mark.parametrize(("density", "whole_inputs"), [(0.35, False), (0.35, True), (1.0, False)])
def test_a_served_subnetwork_predicts_what_the_masked_net_does(
    interaction: str, biases: str, density: float, whole_inputs: bool
) -> None:
    net = of_catalogue("connection_share", f"net.interaction={interaction}", f"share.task_biases={biases}")
    assert isinstance(net, MaskedNet)
    masked(net, density, whole_inputs)
    for task in net.tasks:
        small = ServingNet(net.spec, net.subnetwork(task))
        torch.testing.assert_close(small(IDS.ids), net.probability(IDS, task))
        dense = [net.spec.inputs.width, *net.spec.net.hidden, 1]
        assert macs(small.widths()) < macs(dense) if density < 1 else small.widths() == dense


def test_only_products_that_a_kept_connection_reads_are_computed() -> None:
    net = of_catalogue("connection_share")
    assert isinstance(net, MaskedNet)
    embeddings, width = 3 * 2, net.spec.inputs.width
    mask = {name: torch.ones_like(weight) for name, weight in net.maskable("ctr").items()}
    mask["hidden.0"][:, embeddings:] = 0
    mask["hidden.0"][2, embeddings + 1] = 1  # user's first number times the first right field's second
    net.task_masks["ctr"] = Mask(mask)
    small = ServingNet(net.spec, net.subnetwork("ctr"))
    assert width == embeddings + 8
    assert small.widths()[0] == embeddings + 1
    torch.testing.assert_close(small(IDS.ids), net.probability(IDS, "ctr"))


def test_where_few_products_are_read_no_others_are_computed() -> None:
    """Though they are of every left and every right number: pair by pair, not a grid."""
    net = of_catalogue("connection_share", "net.embedding=4")
    assert isinstance(net, MaskedNet)
    base = 3 * 4
    mask = {name: torch.ones_like(weight) for name, weight in net.maskable("ctr").items()}
    mask["hidden.0"][:, base:] = 0
    for n in range(4):
        mask["hidden.0"][:, base + n * 4 + n] = 1  # the diagonal of the first grid
    net.task_masks["ctr"] = Mask(mask)
    small = ServingNet(net.spec, net.subnetwork("ctr"))
    assert small.widths()[0] == base + 4
    torch.testing.assert_close(small(IDS.ids), net.probability(IDS, "ctr"))


@pytest.mark.parametrize("name", ["single_task", "single_task_dot", "lottery_ticket", "layer_share", "full_share"])
def test_other_models_of_inputs_and_layers_can_be_served(name: str) -> None:
    net = of_catalogue(name)
    for task in net.tasks:
        torch.testing.assert_close(ServingNet(net.spec, net.subnetwork(task))(IDS.ids), net.probability(IDS, task))


def test_a_model_of_other_parts_is_refused() -> None:
    with pytest.raises(ExportError, match="MMoE has no subnetwork for ctr that is inputs and FC layers alone"):
        of_catalogue("mmoe").subnetwork("ctr")


def test_an_id_that_the_vocabulary_has_not_is_unknown() -> None:
    net = of_catalogue("layer_share")
    small = ServingNet(net.spec, net.subnetwork("cvr"))
    beyond, unknown = torch.tensor([[5, 6, -1]]), torch.tensor([[0, 6, 0]])
    assert torch.equal(small(beyond), small(unknown))
    assert not torch.equal(small(torch.tensor([[4, 6, 2]])), small(unknown))
