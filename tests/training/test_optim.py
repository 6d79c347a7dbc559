"""What a step leaves alone it leaves alone to the last bit; what it moves, it moves as Adam does."""

import copy
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ncs.data_loading import Features
from ncs.nets.inputs import FieldEmbedding
from ncs.nets.masked import MaskedNet
from ncs.nets.model import NetSpec
from ncs.pruning.mask import Mask
from ncs.training.cluster import Cluster
from ncs.training.optim import MaskedAdam, coalesce
from ncs.training.row_optim import RowPenalty, RowwiseAdagrad
from tests.factories import toy_conf

TASKS = ("ctr", "cvr")
SPEC = NetSpec.of(toy_conf(), {"user_id": 20, "video_id": 30})


@pytest.fixture
def net() -> MaskedNet:
    torch.manual_seed(3)
    net = MaskedNet(SPEC)
    net.task_masks = {
        task: Mask({name: (torch.rand_like(w) < 0.5).float() for name, w in net.maskable(task).items()})
        for task in TASKS
    }
    return net


def steps(net: MaskedNet, optimizer: MaskedAdam, task: str, count: int, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        ids = torch.stack([torch.randint(size, (32,), generator=generator) for size in (20, 30)], 1)
        labels = (torch.rand(32, generator=generator) < 0.5).float()
        F.binary_cross_entropy_with_logits(net.logits(Features.of_ids(ids), task), labels).backward()
        optimizer.step(net.masks(task))


def test_a_task_leaves_every_weight_outside_its_mask_bit_for_bit(net: MaskedNet) -> None:
    optimizer = MaskedAdam(net, Cluster(), 0.01, 0.01, weight_decay=0.1)
    steps(net, optimizer, "ctr", 5)  # momentum that would go on moving them
    before = {weight: weight.clone() for weight in net.parameters()}
    steps(net, optimizer, "cvr", 5)
    for name, weight in net.maskable("cvr").items():
        outside = net.task_masks["cvr"][name] == 0
        assert torch.equal(weight[outside], before[weight][outside])
        assert (weight[~outside] != before[weight][~outside]).float().mean() > 0.9
    for weight in net.outputs["ctr"].parameters():
        assert torch.equal(weight, before[weight])


def test_plain_adam_would_have_moved_them(net: MaskedNet) -> None:
    """Why the optimiser knows masks: with zero gradients and torch's Adam the property does not hold."""
    weight = net.maskable("ctr")["hidden.0"]
    plain = torch.optim.AdamW([weight], lr=0.01, weight_decay=0.1)
    ids = torch.zeros(4, 2, dtype=torch.long)
    net.logits(Features.of_ids(ids), "ctr").sum().backward()
    plain.step()
    before = weight.clone()
    plain.zero_grad()
    net.logits(Features.of_ids(ids), "cvr").sum().backward()
    plain.step()
    outside = net.task_masks["cvr"]["hidden.0"] == 0
    assert not torch.equal(weight[outside], before[outside])


def gradients(count: int, *shape: int) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return iter([torch.randn(*shape, generator=generator) for _ in range(count)])


def test_without_a_mask_it_is_adamw() -> None:
    torch.manual_seed(0)
    ours = nn.Linear(5, 4, bias=False)
    theirs = nn.Linear(5, 4, bias=False)
    theirs.load_state_dict(ours.state_dict())
    optimizer = MaskedAdam(ours, Cluster(), 0.01, 0.01, weight_decay=0.05)
    reference = torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=0.05)
    for gradient in gradients(20, 4, 5):
        ours.weight.grad, theirs.weight.grad = gradient.clone(), gradient
        optimizer.step({})
        reference.step()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-5, atol=1e-6)


def test_inside_a_mask_a_weight_moves_as_if_its_tasks_batches_were_all_there_is() -> None:
    """Steps of the other task must not count in the bias correction of a weight that they do not touch."""
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 4, bias=False), nn.Linear(5, 4, bias=False)
    theirs.load_state_dict(ours.state_dict())
    mask = (torch.arange(20).reshape(4, 5) % 2).float()
    optimizer = MaskedAdam(ours, Cluster(), 0.01, 0.01)
    reference = torch.optim.Adam(theirs.parameters(), lr=0.01)
    for n, gradient in enumerate(gradients(30, 4, 5)):
        turn = mask if n % 3 == 0 else 1 - mask
        ours.weight.grad = gradient * turn
        optimizer.step({ours.weight: turn})
        if n % 3 == 0:
            theirs.weight.grad = gradient
            reference.step()
    torch.testing.assert_close(ours.weight[mask == 1], theirs.weight[mask == 1], rtol=1e-5, atol=1e-6)


def test_embedding_rows_move_as_adam_does_and_only_when_a_batch_holds_them() -> None:
    torch.manual_seed(0)
    ours = FieldEmbedding((6,), 3)
    theirs = nn.Parameter(ours.table.detach().clone()[:3])
    first = ours.table.detach().clone()
    optimizer, reference = MaskedAdam(ours, Cluster(), 0.1, 0.01), torch.optim.Adam([theirs], lr=0.01)
    ids = torch.tensor([[0], [1], [2], [1]])
    for gradient in gradients(10, 4, 1, 3):
        (ours(ids) * gradient).sum().backward()
        optimizer.step({})
        reference.zero_grad()
        (F.embedding(ids, theirs) * gradient).sum().backward()
        reference.step()
    torch.testing.assert_close(ours.table[:3], theirs, rtol=1e-5, atol=1e-6)
    assert torch.equal(ours.table[3:], first[3:])


def test_row_wise_adagrad_is_adagrad_where_a_row_is_one_weight() -> None:
    torch.manual_seed(0)
    ours = FieldEmbedding((6,), 1)
    theirs = nn.Parameter(ours.table.detach().clone())
    first = ours.table.detach().clone()
    optimizer = MaskedAdam(ours, Cluster(), 0.1, 0.05, embedding_optimizer="adagrad")
    reference = torch.optim.Adagrad([theirs], lr=0.05, eps=1e-8)
    ids = torch.tensor([[0], [1], [2], [1]])
    for gradient in gradients(10, 4, 1, 1):
        (ours(ids) * gradient).sum().backward()
        optimizer.step({})
        reference.zero_grad()
        (F.embedding(ids, theirs) * gradient).sum().backward()
        reference.step()
    torch.testing.assert_close(ours.table, theirs, rtol=1e-5, atol=1e-6)
    assert torch.equal(ours.table[3:], first[3:])


def test_row_wise_adagrad_moves_a_row_at_one_rate() -> None:
    table = torch.zeros(4, 2)
    adagrad = RowwiseAdagrad(table, 1.0)
    for _ in range(2):
        adagrad.step(torch.tensor([1, 3]), torch.tensor([[1.0, 7.0], [0.0, 2.0]]))
    # Row 1: mean squares 25, 25; by 1/5 and 1/sqrt(50) of its gradient. Row 3: 2, 2; by 1/sqrt(2) and 1/2.
    rates = torch.tensor([0.2 + 50**-0.5, 2**-0.5 + 0.5])
    expected = torch.tensor([[0.0, 0.0], [-1.0, -7.0], [0.0, 0.0], [0.0, -2.0]])
    expected[[1, 3]] *= rates[:, None]
    torch.testing.assert_close(table, expected)
    assert adagrad.state.tolist() == [0, 50, 0, 4]


def test_a_row_gets_the_penalty_of_the_steps_that_it_was_not_looked_up_in() -> None:
    table = torch.tensor([[1.0, -2.0], [4.0, 0.0]])
    penalty = RowPenalty(table, 0.5)
    of_each_step = [penalty.gradient(torch.tensor([0]), step) for step in (1, 2, 3)]
    assert [gradient.tolist() for gradient in of_each_step] == [[[0.5, -1.0]]] * 3
    assert penalty.gradient(torch.tensor([1, 0]), 4).tolist() == [[8.0, 0.0], [0.5, -1.0]]
    assert penalty.last.tolist() == [4, 4]
    assert table.tolist() == [[1, -2], [4, 0]], "it is the optimiser that moves rows"


def test_a_table_with_a_penalty_moves_as_with_l2_in_the_loss_where_a_step_looks_all_rows_up() -> None:
    torch.manual_seed(0)
    ours = nn.ModuleDict({"embedding": FieldEmbedding([3], 2)})
    theirs = nn.Parameter(ours["embedding"].table.detach().clone())
    optimizer = MaskedAdam(ours, Cluster(), 0.1, 0.01, embedding_l2=0.3)
    reference = torch.optim.Adam([theirs], lr=0.01)
    target = torch.randn(3, 2)
    for _ in range(5):
        ((ours["embedding"](torch.tensor([[0], [1], [2]])).squeeze(1) - target) ** 2).sum().backward()
        optimizer.step({})
        reference.zero_grad()
        (((theirs - target) ** 2).sum() + 0.3 / 2 * theirs.square().sum()).backward()
        reference.step()
    torch.testing.assert_close(ours["embedding"].table.detach(), theirs.detach())


def test_a_row_that_is_looked_up_twice_moves_by_the_sum_of_its_gradients() -> None:
    rows, gradients = torch.tensor([7, 3, 7, 9, 3, 7]), torch.arange(12.0).view(6, 2)
    found, summed = coalesce(rows, gradients)
    assert dict(zip(found.tolist(), summed.tolist(), strict=True)) == {7: [14, 17], 3: [10, 12], 9: [6, 7]}
    assert coalesce(rows[:0], gradients[:0])[1].shape == (0, 2)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_a_restored_optimiser_goes_on_as_if_it_had_never_stopped(net: MaskedNet, l2: float) -> None:
    optimizer = MaskedAdam(net, Cluster(), 0.01, 0.01, embedding_l2=l2)
    steps(net, optimizer, "ctr", 3)
    twin = MaskedNet(SPEC)
    twin.load_state_dict(net.state_dict())
    twin.task_masks = net.task_masks
    restored = MaskedAdam(twin, Cluster(), 0.01, 0.01, embedding_l2=l2)
    restored.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for task in TASKS:
        steps(net, optimizer, task, 2, seed=5)
        steps(twin, restored, task, 2, seed=5)
    for (name, weight), other in zip(net.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(weight, other), name
