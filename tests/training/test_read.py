"""ReadShare: each task reads all connections and trains those of its mask."""

import torch
from torch.nn import functional as F

from ncs.data_loading import Features
from ncs.methods.assign import assign
from ncs.models.read_share import ReadingNet
from ncs.pruning.mask import Mask
from ncs.training.cluster import Cluster
from ncs.training.optim import MaskedAdam
from tests.factories import toy_spec

IDS = Features.of_ids(torch.tensor([[1, 2, 1], [4, 6, 2], [1, 3, 2]]))


def disjoint() -> ReadingNet:
    torch.manual_seed(1)
    net = ReadingNet(toy_spec())
    net.task_masks = assign({task: Mask.ones(net.maskable(task)) for task in net.tasks}, "disjoint", 0)
    return net


def test_a_step_changes_its_tasks_connections_and_both_read_them() -> None:
    net = disjoint()
    optimizer = MaskedAdam(net, Cluster(), 0.01, 0.01)
    weight, own = net.maskable("ctr")["hidden.1"], net.task_masks["ctr"]["hidden.1"]
    before, other = weight.clone(), net.predict(IDS)["cvr"]
    F.mse_loss(net.logits(IDS, "ctr"), torch.ones(3)).backward()
    optimizer.step(net.masks("ctr"))
    moved = weight != before
    assert moved.any()
    assert not moved[own == 0].any()
    assert not torch.equal(net.predict(IDS)["cvr"], other)


def test_disjoint_masks_of_everything_read_the_dense_net() -> None:
    net = disjoint()
    under = net.predict(IDS)
    net.task_masks = {}
    for task, predicted in net.predict(IDS).items():
        torch.testing.assert_close(under[task], predicted)


def test_one_tasks_search_reads_its_own_mask() -> None:
    net = disjoint()
    net.task_masks = {"ctr": net.task_masks["ctr"]}
    kept = net.kept("ctr")
    assert all(torch.equal(kept[name], mask) for name, mask in net.task_masks["ctr"].items())
    assert net.kept("cvr") == {}, "a task without a mask uses all"
