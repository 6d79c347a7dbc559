"""Feature crosses: grids of pairs, gradients as defined, and an FC layer that computes them tile by tile."""

import pytest
import torch
from torch.nn import functional as F

from ncs.data_loading import Features
from ncs.nets import crosses
from ncs.nets.crosses import Crossed, KroneckerProducts, field_columns, grids, kronecker, linear
from ncs.nets.inputs import Inputs, InputSpec
from tests.factories import id_layout


def test_all_pairs_of_two_blocks_are_one_grid_and_others_as_few_as_there_are_blocks() -> None:
    assert grids([(0, 2), (0, 3), (1, 2), (1, 3)]) == [((0, 1), (2, 3))]
    assert grids([(0, 2), (1, 2), (1, 3)]) == [((0,), (2,)), ((1,), (2, 3))]
    assert grids([(0, 2), (0, 2)]) == [((0,), (2, 2))], "as wide as the configuration says"
    assert grids([]) == []


def test_a_list_of_pairs_gives_the_products_of_these_pairs_alone() -> None:
    embedded = torch.randn(5, 4, 3)
    products = KroneckerProducts([(0, 2), (1, 3), (1, 2)])(embedded)
    found = torch.cat(products, 1)
    expected = [torch.kron(row[left], row[right]) for row in embedded for left, right in ((0, 2), (1, 2), (1, 3))]
    torch.testing.assert_close(found.sort(1).values, torch.stack(expected).view(5, -1).sort(1).values)


def test_gradients_of_a_product_are_those_of_the_definition() -> None:
    left, right = (torch.randn(6, width, dtype=torch.float64, requires_grad=True) for width in (4, 3))
    assert torch.autograd.gradcheck(kronecker, (left, right))


CROSSES = {
    "neighbours": ((0, 2), (0, 3), (1, 2), (1, 3)),
    "apart": ((0, 1), (0, 3), (2, 1), (2, 3)),
    "two grids, a field in both": ((0, 1), (2, 1), (2, 3)),
    "a field twice": ((0, 0), (0, 1)),
    "a cross twice": ((0, 2), (0, 2), (1, 2)),
    "none": (),
}


def inputs(crosses: tuple[tuple[int, int], ...]) -> tuple[Inputs, int]:
    names = "abcd"
    named = tuple((names[left], names[right]) for left, right in crosses)
    spec = InputSpec(id_layout(*names), dict(zip(names, (5, 7, 3, 9), strict=True)), 3, named)
    torch.manual_seed(0)
    return Inputs(spec), spec.width


def test_columns_are_a_slice_where_fields_are_neighbours() -> None:
    assert field_columns((1, 2), 3) == slice(3, 9)
    assert field_columns((2, 0), 2) == [4, 5, 0, 1]


@pytest.mark.parametrize("name", CROSSES)
@pytest.mark.parametrize("rows", [0, 1, 8, 19])
def test_output_and_gradients_are_those_of_the_joined_input(
    monkeypatch: pytest.MonkeyPatch, name: str, rows: int
) -> None:
    monkeypatch.setattr(crosses, "TILE", 8)
    made, width = inputs(CROSSES[name])
    ids = torch.stack([torch.randint(size, (rows,)) for size in (5, 7, 3, 9)], 1)
    weight, bias = torch.randn(6, width, requires_grad=True), torch.randn(6, requires_grad=True)
    factor, found = torch.randn(rows, 6), []
    for whole in (made, made.lazy):
        output = linear(whole(Features.of_ids(ids)), weight, bias)
        (output * factor).sum().backward()
        assert made.embedding.last_lookup is not None
        found.append((output.detach(), made.embedding.last_lookup[1].grad, weight.grad, bias.grad))
        weight.grad = bias.grad = None
    for joined, tiled in zip(*found, strict=True):
        torch.testing.assert_close(tiled, joined, rtol=1e-5, atol=1e-5)


def test_gradients_of_a_tile_are_those_of_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crosses, "TILE", 2)
    embedded, weight = torch.randn(5, 6, dtype=torch.float64), torch.randn(4, 14, dtype=torch.float64)
    bias = torch.randn(4, dtype=torch.float64)
    for tensor in (embedded, weight, bias):
        tensor.requires_grad_()
    blocks = [(slice(0, 2), [2, 3]), ([4, 5], slice(2, 4))]
    assert torch.autograd.gradcheck(
        lambda *three: Crossed(three[0], blocks).linear(*three[1:]), (embedded, weight, bias)
    )


def test_under_autocast_it_is_the_plain_layer() -> None:
    made, width = inputs(CROSSES["apart"])
    rows, weight, bias = Features.of_ids(torch.zeros(3, 4, dtype=torch.long)), torch.randn(6, width), torch.randn(6)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(made.lazy(rows).linear(weight, bias), F.linear(made(rows), weight, bias))
