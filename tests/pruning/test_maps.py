"""Pictures of masks say what the masks say."""

import torch

from ncs.pruning.maps import maps
from ncs.pruning.mask import Mask, overlap


def mask(seed: int, *sizes: tuple[int, int]) -> Mask:
    generator = torch.Generator().manual_seed(seed)
    layers = {f"hidden.{n}": (torch.rand(size, generator=generator) < 0.4).float() for n, size in enumerate(sizes)}
    return Mask({**layers, "output": torch.ones(1, 8)})


def test_patches_add_up_to_the_overlap() -> None:
    left, right = mask(1, (64, 128)), mask(2, (64, 128))
    found, expected = maps(left, right), overlap(left, right)
    assert list(found) == ["hidden.0"], "output layers are each task's own"
    for part, values in found["hidden.0"].items():
        values = torch.tensor(values)
        assert values.shape == (32, 64)
        assert abs(float(values.mean()) - expected[part]["hidden.0"]) < 1e-3


def test_a_small_layer_is_shown_connection_by_connection() -> None:
    left, right = mask(1, (3, 5)), mask(2, (3, 5))
    parts = maps(left, right)["hidden.0"]
    assert torch.equal(torch.tensor(parts["shared"]), left["hidden.0"] * right["hidden.0"])
    assert torch.equal(torch.tensor(parts["left_only"]), left["hidden.0"] * (1 - right["hidden.0"]))
