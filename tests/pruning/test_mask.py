"""Masks and pruning rounds as algebra: what must hold for any weights."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ncs.methods.assign import assign
from ncs.pruning.mask import Mask, maps, overlap
from ncs.pruning.prune import (
    Scope,
    distance,
    magnitude,
    movement,
    prune,
    prune_inputs,
    prune_neurons,
    tied_by_input,
    with_price,
)

SHAPES = {"hidden.0": (6, 9), "hidden.1": (4, 6)}
SIZE = 6 * 9 + 4 * 6


def weights(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def random_mask(seed: int, density: float = 0.5) -> Mask:
    generator = torch.Generator().manual_seed(seed)
    return Mask({name: (torch.rand(shape, generator=generator) < density).float() for name, shape in SHAPES.items()})


seeds = st.integers(0, 10_000)
rates = st.floats(0.01, 0.95)


@given(seeds, seeds, rates)
@settings(max_examples=60, deadline=None)
def test_a_round_prunes_its_share_of_the_alive_and_never_revives(mask_seed: int, seed: int, rate: float) -> None:
    before, scores = random_mask(mask_seed), weights(seed)
    after = prune(before, {name: magnitude(w, w) for name, w in scores.items()}, rate, "global")
    spared = after.alive - (before.alive - int(rate * before.alive))
    single = sum(int(after[name].sum()) == 1 for name in SHAPES)
    assert 0 <= spared <= single, "more stays only as the last connection of a layer"
    assert all(bool((after[name] <= before[name]).all()) for name in SHAPES)


@given(seeds, rates)
@settings(max_examples=40, deadline=None)
def test_one_threshold_parts_what_stays_from_what_goes(seed: int, rate: float) -> None:
    before, scores = random_mask(seed), {name: w.abs() for name, w in weights(seed + 1).items()}
    after = prune(before, scores, rate, "global")
    # The last connection of a layer stays, however low its score.
    kept = torch.cat(
        [scores[name][after[name] == 1] for name in SHAPES if after[name].sum() > 1] or [torch.tensor([math.inf])]
    )
    gone = torch.cat([scores[name][(before[name] == 1) & (after[name] == 0)] for name in SHAPES])
    if len(gone):
        assert gone.max() < kept.min()


@given(seeds, rates)
@settings(max_examples=40, deadline=None)
def test_per_layer_every_layer_loses_the_same_share(seed: int, rate: float) -> None:
    scores = {name: w.abs() for name, w in weights(seed).items()}
    after = prune(Mask.ones(scores), scores, rate, "layer")
    for name, shape in SHAPES.items():
        size = shape[0] * shape[1]
        assert int(after[name].sum()) == size - int(rate * size)


def test_rounds_go_on_pruning_because_the_quantile_is_over_the_alive() -> None:
    scores = {name: w.abs() for name, w in weights(0).items()}
    mask, alive = Mask.ones(scores), []
    for _ in range(4):
        mask = prune(mask, scores, 0.5, "global")
        alive.append(mask.alive)
    assert alive == [39, 20, 10, 5]


def test_a_pruned_weight_is_not_counted_though_its_stored_value_is_large() -> None:
    mask = Mask({"hidden.0": torch.tensor([[0.0, 1.0, 1.0]])})
    scores = {"hidden.0": torch.tensor([[9.0, 1.0, 2.0]])}
    assert prune(mask, scores, 0.5, "global")["hidden.0"].tolist() == [[0.0, 0.0, 1.0]]


def test_equal_scores_all_stay() -> None:
    scores = {"hidden.0": torch.ones(2, 5)}
    assert prune(Mask.ones(scores), scores, 0.5, "global").alive == 10


def test_movement_counts_what_grew_in_its_own_direction() -> None:
    weight, theta = torch.tensor([2.0, -2.0, 1.0, -1.0]), torch.tensor([1.0, -1.0, 2.0, -2.0])
    assert movement(weight, theta).tolist() == [2.0, 2.0, -1.0, -1.0]


def test_distance_counts_either_direction() -> None:
    weight, theta = torch.tensor([2.0, 1.0, -1.0]), torch.tensor([1.0, 2.0, -1.0])
    assert distance(weight, theta).tolist() == [1.0, 1.0, 0.0]


def test_what_other_tasks_keep_has_a_price() -> None:
    scores = {"hidden.0": torch.tensor([[4.0, 3.0, 2.0]]), "output": torch.tensor([[1.0]])}
    taken = [
        Mask({"hidden.0": torch.tensor([[1.0, 0.0, 0.0]]), "output": torch.ones(1, 1)}),
        Mask({"hidden.0": torch.tensor([[1.0, 0.0, 1.0]]), "output": torch.ones(1, 1)}),
    ]
    priced = with_price(scores, taken, 0.5)
    assert priced["hidden.0"].tolist() == [[2.0, 3.0, 1.0]], "a connection is paid for once"
    assert priced["output"].tolist() == [[1.0]], "an output layer is each task's own"
    assert with_price(scores, [], 0.5) == with_price(scores, taken, 0.0) == scores


def test_the_dimension_that_is_read_least_goes_with_its_products() -> None:
    # Two dimensions, a number, and the product of the dimensions; a dot product, which stays.
    units = torch.tensor([[0, 0], [1, 1], [2, 2], [0, 1], [-1, -1]])
    scores = {"hidden.0": torch.tensor([[5.0, 1.0, 2.0, 1.0, 0.1]]), "output": torch.ones(1, 1)}
    once = prune_inputs(Mask.ones(scores), scores, 0.34, units)
    assert once["hidden.0"].tolist() == [[1, 0, 1, 0, 1]]
    assert once["output"].tolist() == [[1]]
    twice = prune_inputs(once, scores, 0.5, units)
    assert twice["hidden.0"].tolist() == [[1, 0, 0, 0, 1]]


@given(seeds, seeds, rates)
@settings(max_examples=40, deadline=None)
def test_connections_that_read_the_same_input_stay_or_fall_together(mask_seed: int, seed: int, rate: float) -> None:
    before, scores = random_mask(mask_seed), weights(seed)
    tied = tied_by_input(before, scores)
    after = prune(before, tied, rate, "global")
    for name, mask in before.items():
        alive, left = mask.sum(0), after[name].sum(0)
        assert torch.all((left == alive) | (left == 0))
        means = (mask * scores[name]).sum(0)[alive > 0] / alive[alive > 0]
        torch.testing.assert_close(tied[name][0][alive > 0], means)


def test_a_mask_refuses_anything_but_0_and_1() -> None:
    with pytest.raises(ValueError, match="only 0 and 1"):
        Mask({"hidden.0": torch.tensor([0.0, 0.5])})


@given(seeds, seeds)
@settings(max_examples=40, deadline=None)
def test_overlap_shares_add_up_and_are_symmetric(left_seed: int, right_seed: int) -> None:
    left, right = random_mask(left_seed, 0.6), random_mask(right_seed, 0.3)
    one, other = overlap(left, right), overlap(right, left)
    assert one["shared"]["all"] + one["left_only"]["all"] == pytest.approx(left.density()["all"])
    assert one["shared"]["all"] + one["right_only"]["all"] == pytest.approx(right.density()["all"])
    assert one["jaccard"] == other["jaccard"]
    assert one["left_only"] == other["right_only"]
    assert overlap(left, left)["jaccard"]["all"] == 1.0


def test_chance_is_what_independent_masks_give() -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = (Mask({"w": (torch.rand(1000, 1000, generator=generator) < p).float()}) for p in (0.5, 0.2))
    figures = overlap(left, right)
    assert figures["jaccard"]["w"] == pytest.approx(figures["chance"]["w"], abs=0.002)
    assert figures["chance"]["w"] == pytest.approx(0.1 / 0.6, abs=0.002)


@given(seeds, rates)
@settings(max_examples=40, deadline=None)
def test_a_pruned_neuron_loses_all_connections_in_and_out(seed: int, rate: float) -> None:
    scores = {**weights(seed), "output": torch.randn(1, 4, generator=torch.Generator().manual_seed(seed))}
    after = prune_neurons(Mask.ones(scores), scores, rate, "global")
    first, second, output = after["hidden.0"], after["hidden.1"], after["output"]
    alive = [first.amax(1), second.amax(1) if first.any() else output[0]]
    assert int(sum(float(part.sum()) for part in alive)) >= 10 - int(rate * 10) - (0 if first.any() else 6)
    assert torch.equal(first, alive[0].unsqueeze(1).expand_as(first)), "whole rows"
    assert torch.equal(second, alive[1].unsqueeze(1) * alive[0].unsqueeze(0))
    assert torch.equal(output, alive[1].unsqueeze(0))


def test_the_neuron_with_the_smallest_mean_square_goes() -> None:
    scores = {"hidden.0": torch.tensor([[3.0, 0.0], [1.0, 1.0], [2.0, 2.0]]), "output": torch.ones(1, 3)}
    after = prune_neurons(Mask.ones(scores), scores, 0.34, "global")
    assert after["hidden.0"].tolist() == [[1, 1], [0, 0], [1, 1]]
    assert after["output"].tolist() == [[1, 0, 1]]


def test_controls_give_the_tasks_other_masks() -> None:
    masks = {"ctr": random_mask(1, 0.3), "cvr": random_mask(2, 0.7)}
    assert assign(masks, "own", 0) == masks
    assert assign(masks, "none", 0) == {}
    assert assign(masks, "cvr", 0) == {"ctr": masks["cvr"], "cvr": masks["cvr"]}
    assert assign(masks, "swapped", 0) == {"ctr": masks["cvr"], "cvr": masks["ctr"]}
    drawn, again, other = (assign(masks, "random", seed) for seed in (0, 0, 1))
    for task, mask in masks.items():
        assert drawn[task].density() == mask.density()
        assert all(torch.equal(drawn[task][name], again[task][name]) for name in mask)
        assert not all(torch.equal(drawn[task][name], other[task][name]) for name in mask)
        assert not all(torch.equal(drawn[task][name], mask[name]) for name in mask)


def test_disjoint_masks_part_what_both_keep() -> None:
    ones = {"ctr": Mask.ones(weights(0) | {"output": torch.ones(1, 4)})}
    masks = {**ones, "cvr": random_mask(2, 0.5)}
    masks["cvr"] = Mask({**masks["cvr"], "output": torch.ones(1, 4)})
    apart = assign(masks, "disjoint", 0)
    for name in SHAPES:
        union = torch.maximum(masks["ctr"][name], masks["cvr"][name])
        assert torch.equal(apart["ctr"][name] + apart["cvr"][name], union)
        assert 0 < apart["cvr"][name].sum() < masks["cvr"][name].sum()
    assert apart["ctr"]["output"].all()
    assert torch.equal(assign(masks, "disjoint", 0)["ctr"]["hidden.0"], apart["ctr"]["hidden.0"])


@given(st.integers(0, 1000), st.floats(0.01, 0.99), st.sampled_from(["global", "layer"]), st.floats(0, 6))
@settings(deadline=None)
def test_no_layer_is_ever_emptied(seed: int, rate: float, scope: Scope, spread: float) -> None:
    """Whatever a layer's scores are beside those of the others, and however often it is pruned."""
    scores = {name: w.abs() * 10 ** (-spread * n) for n, (name, w) in enumerate(weights(seed).items())}
    mask = Mask.ones(scores)
    for _ in range(12):
        before, mask = mask, prune(mask, scores, rate, scope)
        assert all(mask[name].any() and (mask[name] <= before[name]).all() for name in mask)
    neurons = Mask.ones(scores)
    for _ in range(12):
        neurons = prune_neurons(neurons, scores, rate, scope)
        assert all(neurons[name].any() for name in neurons)


def test_of_a_layer_below_the_threshold_the_strongest_connection_stays() -> None:
    scores = {"hidden.0": torch.tensor([[0.1, 0.3, 0.2]]), "hidden.1": torch.tensor([[5.0, 6.0, 7.0, 8.0]])}
    after = prune(Mask.ones(scores), scores, 0.5, "global")
    assert after["hidden.0"].tolist() == [[0.0, 1.0, 0.0]]
    assert after["hidden.1"].tolist() == [[1.0, 1.0, 1.0, 1.0]]


def random_layers(seed: int, *sizes: tuple[int, int]) -> Mask:
    generator = torch.Generator().manual_seed(seed)
    layers = {f"hidden.{n}": (torch.rand(size, generator=generator) < 0.4).float() for n, size in enumerate(sizes)}
    return Mask({**layers, "output": torch.ones(1, 8)})


def test_patches_add_up_to_the_overlap() -> None:
    left, right = random_layers(1, (64, 128)), random_layers(2, (64, 128))
    found, expected = maps(left, right), overlap(left, right)
    assert list(found) == ["hidden.0"], "output layers are each task's own"
    for part, values in found["hidden.0"].items():
        values = torch.tensor(values)
        assert values.shape == (32, 64)
        assert abs(float(values.mean()) - expected[part]["hidden.0"]) < 1e-3


def test_a_small_layer_is_shown_connection_by_connection() -> None:
    left, right = random_layers(1, (3, 5)), random_layers(2, (3, 5))
    parts = maps(left, right)["hidden.0"]
    assert torch.equal(torch.tensor(parts["shared"]), left["hidden.0"] * right["hidden.0"])
    assert torch.equal(torch.tensor(parts["left_only"]), left["hidden.0"] * (1 - right["hidden.0"]))
