"""Feature crosses: grids hold the pairs that were asked for, gradients are those of the definition."""

import torch

from ncs.nets.crosses import KroneckerProducts, grids, kronecker


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


def test_gradients_are_those_of_the_definition() -> None:
    left, right = (torch.randn(6, width, dtype=torch.float64, requires_grad=True) for width in (4, 3))
    assert torch.autograd.gradcheck(kronecker, (left, right))
