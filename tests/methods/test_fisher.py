"""Fisher scores against gradients batch by batch."""

from types import SimpleNamespace
from typing import Any, cast

import torch

from ncs.data_loading import Batch, Features
from ncs.methods.fisher import squared_gradients
from ncs.nets.masked import MaskedNet
from ncs.pruning.mask import Mask
from ncs.training.cluster import Cluster
from ncs.training.loop import Trainer
from tests.factories import toy_spec


def trainer(batches: list[Batch]) -> Trainer:
    loader: Any = SimpleNamespace(epoch=lambda number: iter(batches))
    return cast(Trainer, SimpleNamespace(loaders={"ctr": loader}, cluster=Cluster()))


def test_it_is_the_mean_of_the_batches_squared_gradients() -> None:
    torch.manual_seed(2)
    net = MaskedNet(toy_spec())
    mask = Mask({name: (torch.rand_like(weight) < 0.6).float() for name, weight in net.maskable("ctr").items()})
    net.task_masks = {"ctr": mask}
    ids = torch.tensor([[0, 0, 0], [4, 6, 2], [1, 3, 2], [2, 5, 1]])
    batches = [
        Batch(Features.of_ids(ids[rows]), {"ctr": torch.tensor(labels)}, 2)
        for rows, labels in ((slice(0, 2), [0.0, 1.0]), (slice(2, 4), [1.0, 1.0]))
    ]
    before = {name: weight.clone() for name, weight in net.state_dict().items()}
    found = squared_gradients(net, trainer(batches), "ctr")
    expected = {name: torch.zeros_like(weight) for name, weight in net.maskable("ctr").items()}
    for batch in batches:
        loss = net.loss(batch, "ctr") / 2
        gradients = torch.autograd.grad(loss, list(net.maskable("ctr").values()))
        for name, gradient in zip(expected, gradients, strict=True):
            expected[name] += gradient.square() / 2
    for name, squares in found.items():
        torch.testing.assert_close(squares, expected[name])
        assert not squares[mask[name] == 0].any()
        assert squares.any()
    assert all(torch.equal(weight, before[name]) for name, weight in net.state_dict().items())
    assert all(weight.grad is None for weight in net.parameters())
