"""Figures of masks for gold/masks: how far two masks lie within each other, beside chance."""

import pytest
import torch

from ncs.evaluation.masks import mask_figures, nesting, note
from ncs.pruning.mask import Mask, overlap
from tests.evaluation.factories import MASKS


def test_nested_and_disjoint_masks_are_told_apart() -> None:
    ctr = torch.zeros(2, 4, 10)  # nested in one layer, disjoint in the other
    cvr = torch.zeros(2, 4, 10)
    ctr[0, :, :6], cvr[0, :, :3] = 1, 1
    ctr[1, :, :5], cvr[1, :, 5:] = 1, 1
    both = [Mask({f"hidden.{n}": mask[n] for n in range(2)}) for mask in (ctr, cvr)]
    shares = {name.replace("left", "ctr").replace("right", "cvr"): value for name, value in overlap(*both).items()}
    found = nesting(shares, ["ctr", "cvr"])
    assert found["containment"] == pytest.approx({"all": 12 / 32, "hidden.0": 1.0, "hidden.1": 0.0})
    assert found["containment_chance"] == pytest.approx({"all": 44 / 80, "hidden.0": 0.6, "hidden.1": 0.5})
    assert found["ctr_exclusive"] == pytest.approx({"all": 32 / 44, "hidden.0": 0.5, "hidden.1": 1.0})
    assert found["cvr_exclusive"] == pytest.approx({"all": 20 / 32, "hidden.0": 0.0, "hidden.1": 1.0})


def test_independent_masks_are_contained_as_chance_says() -> None:
    torch.manual_seed(1)
    both = [Mask({"hidden.0": (torch.rand(200, 200) < density).float()}) for density in (0.6, 0.3)]
    shares = {name.replace("left", "a").replace("right", "b"): value for name, value in overlap(*both).items()}
    found = nesting(shares, ["a", "b"])
    assert found["containment"]["all"] == pytest.approx(found["containment_chance"]["all"], abs=0.02)


def test_they_are_rows_of_the_table_and_words_of_the_report() -> None:
    rows = {(one.figure, one.layer, one.input): one for one in mask_figures(MASKS, None)}
    assert rows["containment", "hidden.0", None].value == 1.0
    assert rows["cvr_exclusive", "hidden.0", None].value == pytest.approx(1 / 3)
    assert rows["containment", "hidden.0", "user_id"].value == pytest.approx(5 / 6)
    assert rows["containment", "all", None].task == "ctr+cvr"
    said = note(MASKS)
    assert "The denser mask holds 100% of the sparser one's connections (88% at random)." in said
    assert "Of a task's own connections the other does not keep: CTR 0%, CVR 29%." in said


def test_an_empty_mask_is_contained_in_nothing() -> None:
    shares = {"shared": {"all": 0.0}, "ctr_only": {"all": 0.0}, "cvr_only": {"all": 0.5}}
    assert nesting(shares, ["ctr", "cvr"])["containment"] == {}
    assert nesting({}, ["ctr", "cvr"]) == {}
