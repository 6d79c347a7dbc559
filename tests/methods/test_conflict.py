"""The angle of the tasks' gradients, and what feeds the first layer, on nets small enough to do by hand."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from ncs.data_loading import Batch, Features
from ncs.methods.conflict import conflict
from ncs.nets.inputs import Inputs, InputSpec
from ncs.nets.masked import MaskedNet
from ncs.pruning.mask import Mask, by_input, overlap
from ncs.training.cluster import Cluster
from ncs.training.loop import Trainer
from tests.factories import id_layout, toy_spec


def made(spec: Any, towers: bool = False) -> MaskedNet:
    torch.manual_seed(1)
    return MaskedNet(spec, towers)


def batches(rows: int, seed: int, dtype: torch.dtype = torch.float32) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 3, (rows, 3), generator=generator)
    clicked = torch.randint(0, 2, (rows,), generator=generator).to(dtype)
    return [
        Batch(Features.of_ids(ids), {"ctr": clicked, "cvr": torch.rand(rows, generator=generator, dtype=dtype)}, rows)
    ]


def trainer(**loaders: list[Batch]) -> Trainer:
    stand_ins = {task: SimpleNamespace(epoch=lambda _, found=found: iter(found)) for task, found in loaders.items()}
    return cast(Trainer, SimpleNamespace(loaders=stand_ins, cluster=Cluster()))


def dense_gradients(net: MaskedNet, batch: Batch, task: str) -> dict[str, torch.Tensor]:
    """By finite differences of the loss, in double precision."""
    found = {}
    layers = {"embedding": net.inputs.embedding.table} | {
        f"hidden.{n}": layer.weight for n, layer in enumerate(net.hidden(task))
    }
    for name, weight in layers.items():
        gradient = torch.zeros_like(weight)
        for at in range(weight.numel()):
            flat, sides = weight.data.view(-1), []
            for step in (1e-5, -2e-5):
                flat[at] += step
                with torch.no_grad():
                    sides.append(net.loss(batch, task))
            flat[at] += 1e-5
            gradient.view(-1)[at] = (sides[0] - sides[1]) / 2e-5
        found[name] = gradient
    return found


def test_the_cosine_is_that_of_the_gradients() -> None:
    net = made(toy_spec()).double()
    generator = torch.Generator().manual_seed(3)
    net.task_masks = {
        task: Mask({n: (torch.rand(w.shape, generator=generator) < 0.7).float() for n, w in net.maskable(task).items()})
        for task in net.tasks
    }
    ctr, cvr = (batches(9, seed, torch.float64) for seed in (1, 2))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = conflict(net, trainer(ctr=ctr, cvr=cvr))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    left, right = dense_gradients(net, ctr[0], "ctr"), dense_gradients(net, cvr[0], "cvr")
    assert list(found) == ["embedding", "hidden.0", "hidden.1"]
    for name, one in found.items():
        expected = float((left[name] * right[name]).sum() / (left[name].norm() * right[name].norm()))
        assert one.cosine == pytest.approx(expected, abs=1e-4)
        assert one.negative == float(expected < 0)


def test_towers_have_only_the_embedding_in_common_and_empty_parts_do_not_count() -> None:
    net = made(toy_spec(), towers=True)
    empty = Batch(
        Features.of_ids(torch.zeros((0, 3), dtype=torch.long)), {"ctr": torch.zeros(0), "cvr": torch.zeros(0)}, 9
    )
    ctr, cvr = batches(9, 1), batches(9, 2)
    found = conflict(net, trainer(ctr=ctr, cvr=cvr))
    assert list(found) == ["embedding"]
    assert conflict(net, trainer(ctr=[*ctr, empty], cvr=[*cvr, empty])) == found


@pytest.mark.parametrize("interaction", ["kronecker", "dot"])
def test_columns_are_where_an_input_comes_out(interaction: Any) -> None:
    """Each field's embedding is changed alone: what changes in the output is its own columns and its crosses'."""
    fields = ["u", "v", "w"]
    spec = InputSpec(id_layout(*fields), dict.fromkeys(fields, 3), 2, (("u", "v"), ("u", "w")), interaction)
    columns = spec.columns()
    assert sorted(sum(columns.values(), [])) == list(range(spec.width))
    inputs = Inputs(spec)
    ids = torch.ones((1, 3), dtype=torch.long)
    with torch.no_grad():
        before = inputs(Features.of_ids(ids))
        for number, field in enumerate(fields):
            changed = ids.clone()
            changed[0, number] = 2
            differs = (inputs(Features.of_ids(changed)) != before)[0]
            expected = torch.zeros(spec.width, dtype=torch.bool)
            for name, part in columns.items():
                expected[part] = field in name.split(" x ")
            assert torch.equal(differs, expected), field


def test_overlap_by_input_adds_up_to_the_layer() -> None:
    columns = InputSpec(id_layout("u", "v"), {"u": 5, "v": 7}, 2, (("u", "v"),)).columns()
    generator = torch.Generator().manual_seed(0)
    left, right = (Mask({"hidden.0": (torch.rand((6, 8), generator=generator) < 0.5).float()}) for _ in range(2))
    found = overlap(by_input(left, columns), by_input(right, columns))
    whole = overlap(left, right)
    assert list(found["shared"]) == ["all", "u", "v", "u x v"]
    for figure, values in found.items():
        assert values["all"] == pytest.approx(whole[figure]["hidden.0"])
    part = columns["u x v"]
    both = left["hidden.0"][:, part] * right["hidden.0"][:, part]
    assert found["shared"]["u x v"] == pytest.approx(float(both.mean()))
