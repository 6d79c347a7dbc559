"""Masks that are learnt: their budget, and gradients that bring back what helps."""

import pytest
import torch

from ncs.data_loading import Features
from ncs.nets.learnt import LearntMasks
from tests.factories import toy_spec

KEEP = {"ctr": 0.5, "cvr": 0.75}
IDS = Features.of_ids(torch.tensor([[0, 0, 0], [4, 6, 2], [1, 3, 2]]))


@pytest.fixture
def net() -> LearntMasks:
    torch.manual_seed(1)
    net = LearntMasks(toy_spec(), KEEP)
    net.rank_weights()
    return net


def test_a_task_keeps_its_share_of_the_largest_weights(net: LearntMasks) -> None:
    for task, share in KEEP.items():
        mask, weights = net.learnt_mask(task), net.maskable(task)
        assert 0 <= mask.alive - (mask.size - int((1 - share) * mask.size)) <= 2, "a layer's last connection stays"
        assert all(kept.any() for kept in mask.values())
        kept = torch.cat([weight[mask[name] == 1].abs() for name, weight in weights.items()])
        gone = torch.cat([weight[mask[name] == 0].abs() for name, weight in weights.items()])
        assert kept.sort().values[2] > gone.max()


def test_forward_a_mask_of_0_and_1_backward_the_weights_gradient(net: LearntMasks) -> None:
    kept = net.kept("ctr")
    assert all(((mask == 0) | (mask == 1)).all() for mask in kept.values())
    net.logits(IDS, "ctr").sum().backward()
    score = next(iter(net.learnt["ctr"])).grad
    pruned = kept["hidden.0"] == 0
    assert score is not None
    assert score[pruned].any(), "a pruned connection learns whether it would help"
    assert all(own.grad is None for own in net.learnt["cvr"])


def test_a_connection_that_helps_comes_back(net: LearntMasks) -> None:
    mask = net.learnt_mask("ctr")["hidden.0"]
    optimizer = torch.optim.SGD(net.learnt.parameters(), lr=1.0)
    for _ in range(20):
        optimizer.zero_grad()
        (-net.logits(IDS, "ctr").sum()).backward()
        optimizer.step()
    after = net.learnt_mask("ctr")
    assert (after["hidden.0"] > mask).any()
    assert 0 <= after.alive - (after.size - int(0.5 * after.size)) <= 2
