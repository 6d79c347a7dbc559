"""Masks and pruning rounds as algebra: what must hold for any weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ncs.sharing.mask import Mask, overlap
from ncs.sharing.pruning import prune
from ncs.sharing.score import magnitude, movement

SHAPES = {"hidden.0.weight": (6, 9), "hidden.1.weight": (4, 6)}
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
    assert after.alive == before.alive - int(rate * before.alive)
    assert all(bool((after[name] <= before[name]).all()) for name in SHAPES)


@given(seeds, rates)
@settings(max_examples=40, deadline=None)
def test_one_threshold_parts_what_stays_from_what_goes(seed: int, rate: float) -> None:
    before, scores = random_mask(seed), {name: w.abs() for name, w in weights(seed + 1).items()}
    after = prune(before, scores, rate, "global")
    kept = torch.cat([scores[name][after[name] == 1] for name in SHAPES])
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
    mask = Mask({"hidden.0.weight": torch.tensor([[0.0, 1.0, 1.0]])})
    scores = {"hidden.0.weight": torch.tensor([[9.0, 1.0, 2.0]])}
    assert prune(mask, scores, 0.5, "global")["hidden.0.weight"].tolist() == [[0.0, 0.0, 1.0]]


def test_equal_scores_all_stay() -> None:
    scores = {"hidden.0.weight": torch.ones(2, 5)}
    assert prune(Mask.ones(scores), scores, 0.5, "global").alive == 10


def test_movement_counts_what_grew_in_its_own_direction() -> None:
    weight, theta = torch.tensor([2.0, -2.0, 1.0, -1.0]), torch.tensor([1.0, -1.0, 2.0, -2.0])
    assert movement(weight, theta).tolist() == [2.0, 2.0, -1.0, -1.0]


def test_a_mask_refuses_anything_but_0_and_1() -> None:
    with pytest.raises(ValueError, match="0 and 1 alone"):
        Mask({"hidden.0.weight": torch.tensor([0.0, 0.5])})


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
