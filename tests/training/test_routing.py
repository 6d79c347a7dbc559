"""SNR and its gates against their equations."""

import math

import pytest
import torch

from ncs.nets.routing import HardConcrete
from tests.training.known import (
    IDS,
    TASKS,
    batch,
    built,
    check_logits,
    expert,
    inputs,
    layer,
    part,
    sigmoid,
    tower,
    weighted,
)


def hard_concrete(log_alpha: float, noise: float | None = None) -> float:
    """Louizos et al. 2018, equations 10, 11 (a draw) and 13 (its deterministic form)."""
    s = sigmoid(log_alpha) if noise is None else sigmoid((math.log(noise / (1 - noise)) + log_alpha) / (2 / 3))
    return min(1.0, max(0.0, s * (1.1 + 0.1) - 0.1))


def test_gates_are_deterministic_in_eval_and_reach_both_ends() -> None:
    gates = HardConcrete(2, 3).eval()
    log_alpha = [-9.0, -1.0, 0.0, 0.5, 2.0, 9.0]
    gates.log_alpha.data = torch.tensor(log_alpha)
    z = gates()
    torch.testing.assert_close(z, torch.tensor([hard_concrete(a) for a in log_alpha]).view(2, 3))
    assert z[0, 0] == 0
    assert z[1, 2] == 1
    assert torch.equal(z, gates())


def test_drawn_gates_follow_the_seed_and_their_formula() -> None:
    gates = HardConcrete(2, 3).train()
    gates.log_alpha.data = torch.tensor([-2.0, -1.0, 0.0, 0.5, 2.0, 4.0])
    torch.manual_seed(5)
    first, second = gates(), gates()
    torch.manual_seed(5)
    noise = torch.rand(6).tolist()
    expected = [hard_concrete(a, u) for a, u in zip(gates.log_alpha.tolist(), noise, strict=True)]
    torch.testing.assert_close(first, torch.tensor(expected).view(2, 3))
    assert not torch.equal(first, second)


def test_the_penalty_is_the_expected_number_of_open_gates() -> None:
    gates = HardConcrete(1, 4).train()
    gates.log_alpha.data = torch.tensor([-3.0, -1.0, 0.0, 2.0])
    expected = sum(sigmoid(a - 2 / 3 * math.log(0.1 / 1.1)) for a in gates.log_alpha.tolist())
    assert gates.penalty().item() == pytest.approx(expected)
    torch.manual_seed(0)
    with torch.no_grad():
        draws = torch.stack([gates() for _ in range(20000)])
    assert (draws > 0).float().sum((1, 2)).mean().item() == pytest.approx(expected, abs=0.02)
    assert ((draws == 0).any(), (draws == 1).any()) == (True, True)
    # The mean of z against an integral of its formula over the noise.
    steps = [(n + 0.5) / 20000 for n in range(20000)]
    for n, a in enumerate(gates.log_alpha.tolist()):
        mean = sum(hard_concrete(a, u) for u in steps) / len(steps)
        assert draws[:, 0, n].mean().item() == pytest.approx(mean, abs=0.015)


def test_gates_that_learn_faster_reach_their_ends() -> None:
    """A step of Adam moves a weight by its learning rate at most: 200 of 0.001 leave a gate at rate 1 half open."""
    slow, fast = HardConcrete(1, 2), HardConcrete(1, 2, rate=50.0)
    assert slow.log_alpha.abs().max() < 0.1
    for gates in (slow, fast):
        optimizer = torch.optim.Adam(gates.parameters(), lr=0.001)
        for _ in range(200):
            optimizer.zero_grad()
            (gates() @ torch.tensor([1.0, -1.0])).sum().backward()
            optimizer.step()
        gates.eval()
    assert (slow() - 0.5).abs().max() < 0.15
    torch.testing.assert_close(fast(), torch.tensor([[0.0, 1.0]]))
    assert fast.penalty().item() == pytest.approx(1.0, abs=0.1), "one of two is open"


@pytest.mark.parametrize("name", ["snr_trans", "snr_aver"])
@pytest.mark.parametrize("task", TASKS)
def test_snr_routes_sub_networks_through_gates(name: str, task: str) -> None:
    model = built(name, "net.snr={subnets: 3, l0: 0.01}")
    weights = model.state_dict()

    def routed(prefix: str, j: int, vectors: list[list[float]]) -> list[float]:
        z = [hard_concrete(a) for a in weights[f"{prefix}.gates.log_alpha"].view(-1, 3)[j].tolist()]
        if name == "snr_trans":
            blocks = weights[f"{prefix}.weight"].view(-1, 6, 3, 6)
            vectors = [layer(blocks[j, :, i], None, v) for i, v in enumerate(vectors)]
        return weighted(z, vectors)

    expected = []
    for x in inputs(model):
        lower = [expert(weights, "lower", n, 3, x) for n in range(3)]
        upper = [expert(weights, "upper", n, 3, routed("between", n, lower)) for n in range(3)]
        expected.append(tower(model.towers[task], routed(f"to_task.{task}", 0, upper)))
    check_logits(model, task, expected)


@pytest.mark.parametrize("name", ["snr_trans", "snr_aver"])
def test_snr_pays_for_open_gates_by_the_row(name: str) -> None:
    free, paid = built(name, "net.snr={subnets: 3, l0: 0.0}"), built(name, "net.snr={subnets: 3, l0: 0.01}")
    weights = paid.state_dict()
    gates = [*weights["between.gates.log_alpha"].tolist(), *weights["to_task.ctr.gates.log_alpha"].tolist()]
    assert len(gates) == 3 * 3 + 3
    open_ = sum(sigmoid(a - 2 / 3 * math.log(0.1 / 1.1)) for a in gates)
    extra = paid.loss(batch(), "ctr") - free.loss(batch(), "ctr")
    assert extra.item() == pytest.approx(0.01 * IDS.rows * open_, rel=1e-4)


@pytest.mark.parametrize("name", ["snr_trans", "snr_aver"])
def test_snr_draws_the_same_for_the_same_seed_whatever_the_rows(name: str) -> None:
    model, whole = built(name).train(), batch()
    states = []
    for rows in ([0, 1, 2, 3, 4], [0, 1], []):
        torch.manual_seed(11)
        model.loss(part(whole, rows), "ctr")
        states.append(torch.get_rng_state())
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])
    torch.manual_seed(11)
    first, other = model.loss(whole, "ctr"), model.loss(whole, "ctr")
    torch.manual_seed(11)
    assert torch.equal(model.loss(whole, "ctr"), first)
    assert not torch.equal(first, other)
