"""Staged sharing: what the first task keeps is frozen, read by the next, and nobody else's."""

import pytest
import torch
from torch import Tensor

from ncs.data_loading import Features
from ncs.models.staged_share import StagedNet, own_parts, stages
from ncs.pruning.mask import OUTPUT, Mask
from ncs.training.cluster import Cluster
from ncs.training.optim import MaskedAdam
from tests.factories import toy_spec

IDS = Features.of_ids(torch.tensor([[0, 0, 0], [4, 6, 2], [1, 3, 2], [2, 5, 1]]))
LABELS = torch.tensor([0.0, 1.0, 1.0, 0.0])


@pytest.fixture
def net() -> StagedNet:
    torch.manual_seed(3)
    net = StagedNet(toy_spec(model="staged_share"))
    ones = Mask.ones(net.maskable("ctr"))
    first = Mask({name: (torch.rand_like(kept) < 0.5).float() for name, kept in ones.items()})
    net.task_masks = stages("ctr", first, list(net.tasks), True, 0)
    net.begin("cvr")
    return net


def step(net: StagedNet, optimizer: MaskedAdam, task: str) -> None:
    torch.nn.functional.mse_loss(net.probability(IDS, task), LABELS).backward()
    optimizer.step(net.masks(task))


def test_cvr_learns_and_leaves_ctr_bit_for_bit(net: StagedNet) -> None:
    optimizer = MaskedAdam(net, Cluster(), 0.01, 0.01, weight_decay=0.1)
    for _ in range(3):
        step(net, optimizer, "ctr")  # momentum that would go on moving them
    before = net.predict(IDS)
    for _ in range(3):
        step(net, optimizer, "cvr")
    assert torch.equal(net.probability(IDS, "ctr"), before["ctr"])
    assert not torch.equal(net.probability(IDS, "cvr"), before["cvr"])


def test_cvr_reads_what_ctr_keeps(net: StagedNet) -> None:
    before = net.logits(IDS, "cvr")
    net.maskable("ctr")["hidden.0"].data += net.task_masks["ctr"]["hidden.0"]
    assert not torch.equal(net.logits(IDS, "cvr"), before)


def test_steps_of_a_task_share_their_masks(net: StagedNet) -> None:
    """The optimiser plans by the masks' identity: new tensors in each step would be a plan each."""
    first, second = (list(net.masks("cvr").values()) for _ in range(2))
    assert all(left is right for left, right in zip(first, second, strict=True))


def test_several_later_tasks_part_what_is_free() -> None:
    kept = {"hidden.0": (torch.rand(20, 30) < 0.4).float(), OUTPUT: torch.ones(1, 4)}
    for reads in (True, False):
        masks = stages("ctr", Mask(kept), ["ctr", "cvr", "finish"], reads, seed=1)
        own = own_parts(masks)
        parts: list[Tensor] = [own[task]["hidden.0"] for task in masks]
        assert torch.equal(sum(parts), torch.ones(20, 30)), "each connection is one task's"
        assert 0.4 < parts[1].sum() / (parts[1] + parts[2]).sum() < 0.6
        assert own["finish"][OUTPUT].all()
        read = masks["finish"]["hidden.0"] * kept["hidden.0"]
        assert torch.equal(read, kept["hidden.0"] * reads)


@pytest.mark.parametrize("task", ["ctr", "cvr"])
def test_a_subnetwork_has_the_tasks_own_inputs(net: StagedNet, task: str) -> None:
    net.own_inputs["cvr"].embedding.table.data += 1
    subnetwork = net.subnetwork(task)
    x = subnetwork.inputs(IDS)
    for layer in subnetwork.layers[:-1]:
        x = torch.relu(x @ layer.weight.T + layer.bias)
    logits = x @ subnetwork.layers[-1].weight.T + subnetwork.layers[-1].bias
    torch.testing.assert_close(logits.squeeze(1), net.logits(IDS, task))
