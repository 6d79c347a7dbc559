"""SplitShare and OwnedShare: private dimensions of embeddings learn from their task alone."""

import torch
from torch.nn import functional as F

from ncs.data_loading import Features
from ncs.models.layer_share import LayerShare
from ncs.models.owned_share import OwnedShare
from ncs.models.split_share import split_masks
from ncs.nets.inputs import dimension_owners
from ncs.nets.masked import MaskedNet
from ncs.nets.model import NetSpec
from tests.factories import RICH, rich_rows, toy_conf, toy_spec

IDS = Features.of_ids(torch.tensor([[1, 2, 1], [4, 6, 2], [1, 3, 2]]))


def test_a_dimension_is_all_tasks_or_one_tasks() -> None:
    net = MaskedNet(toy_spec("net.embedding=5"))
    masks = split_masks(net)
    columns = {task: mask["hidden.0"][0] for task, mask in masks.items()}
    user, video = ({task: of[start : start + 5] for task, of in columns.items()} for start in (0, 5))
    assert user["ctr"].tolist() == [1, 1, 1, 1, 0]
    assert user["cvr"].tolist() == [1, 1, 1, 0, 1]
    for task, of in columns.items():
        products = of[15 : 15 + 50].view(5, 2, 5)[:, 0]
        assert torch.equal(products, torch.outer(user[task], video[task])), "of both sides"
    assert all(mask["hidden.1"].all() and mask["output"].all() for mask in masks.values())


def test_a_private_dimension_has_its_tasks_gradient_alone() -> None:
    torch.manual_seed(1)
    net = MaskedNet(toy_spec("net.embedding=3"))
    net.task_masks = split_masks(net)
    for task, reads in (("ctr", [True, True, False]), ("cvr", [True, False, True])):
        F.mse_loss(net.logits(IDS, task), torch.ones(3)).backward()
        assert net.inputs.embedding.last_lookup is not None
        _, vectors = net.inputs.embedding.last_lookup
        assert vectors.grad is not None
        assert vectors.grad.any(0).tolist() == reads


def test_numbers_are_shared() -> None:
    conf = toy_conf(*RICH, "net.crosses=[]").for_model("split_share")
    net = MaskedNet(NetSpec.of(conf, {"user_id": 61, "video_id": 41, "tag": 10}))
    masks, vectors = split_masks(net), len(conf.layout.vectors)
    columns = {task: mask["hidden.0"].amin(0) for task, mask in masks.items()}
    assert all(of[vectors * 12 :].all() for of in columns.values())
    assert (columns["ctr"] * columns["cvr"])[: vectors * 12].sum() == vectors * 4
    arrays, _, _ = rich_rows(3, seed=1)
    net.task_masks = masks
    features = Features(torch.from_numpy(arrays.ids), torch.from_numpy(arrays.numbers))
    assert all(values.isfinite().all() for values in net.predict(features).values())


def test_an_owned_dimension_is_read_by_all_and_learns_from_its_task_alone() -> None:
    torch.manual_seed(1)
    model = OwnedShare(toy_spec("net.embedding=3"))
    plain = LayerShare(model.spec)
    plain.load_state_dict(model.state_dict())
    for task, trained in (("ctr", [True, True, False]), ("cvr", [True, False, True])):
        logits = model.logits(IDS, task)
        torch.testing.assert_close(logits, plain.logits(IDS, task))
        F.mse_loss(logits, torch.ones(3)).backward()
        assert model.inputs.embedding.last_lookup is not None
        _, vectors = model.inputs.embedding.last_lookup
        assert vectors.grad is not None
        assert vectors.grad.any(0).tolist() == trained


def test_what_does_not_divide_is_shared() -> None:
    assert dimension_owners(8, 2).tolist() == [-1, -1, -1, -1, 0, 0, 1, 1]
    assert dimension_owners(2, 2).tolist() == [-1, -1]
