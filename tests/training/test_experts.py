"""MMoE and PLE against their equations."""

import pytest
import torch

from ncs.nets.experts import Gate
from tests.training.known import TASKS, built, check_logits, expert, inputs, mixed, tower


@pytest.mark.parametrize(("hidden", "tower_depth"), [("[6, 4]", 1), ("[6, 5, 4]", 1), ("[6]", 0)])
@pytest.mark.parametrize("task", TASKS)
def test_mmoe_mixes_shared_experts_by_a_gate_a_task(task: str, hidden: str, tower_depth: int) -> None:
    model = built("mmoe", f"net.hidden={hidden}", "net.experts=3")
    weights = model.state_dict()
    assert len(model.towers[task].hidden) == tower_depth
    expected = []
    for x in inputs(model):
        experts = [expert(weights, "experts", n, 3, x) for n in range(3)]
        expected.append(tower(model.towers[task], mixed(weights[f"gates.{task}.scores.weight"], x, experts)))
    check_logits(model, task, expected)


def test_a_gates_shares_are_positive_and_sum_to_one() -> None:
    shares = Gate(5, 4).weights(10 * torch.randn(7, 5))
    torch.testing.assert_close(shares.sum(1), torch.ones(7))
    assert (shares > 0).all()


@pytest.mark.parametrize("task", TASKS)
def test_ple_with_one_level_mixes_own_and_shared_experts(task: str) -> None:
    model = built("ple", "net.ple={shared: 2, own: 3, levels: 1}")
    weights = model.state_dict()
    expected = []
    for x in inputs(model):
        experts = [expert(weights, f"levels.0.own.{task}", n, 3, x) for n in range(3)]
        experts += [expert(weights, "levels.0.shared", n, 2, x) for n in range(2)]
        expected.append(tower(model.towers[task], mixed(weights[f"levels.0.gates.{task}.scores.weight"], x, experts)))
    check_logits(model, task, expected)


@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize("task", TASKS)
def test_ple_hands_each_tasks_mixture_and_that_of_all_experts_to_the_next_level(task: str, levels: int) -> None:
    model = built("ple", f"net.ple={{shared: 2, own: 1, levels: {levels}}}")
    weights = model.state_dict()
    expected = []
    for x in inputs(model):
        own, shared = dict.fromkeys(TASKS, x), x
        for n in range(levels):
            of_task = {one: expert(weights, f"levels.{n}.own.{one}", 0, 1, own[one]) for one in TASKS}
            of_all = [expert(weights, f"levels.{n}.shared", k, 2, shared) for k in range(2)]
            own = {
                one: mixed(weights[f"levels.{n}.gates.{one}.scores.weight"], own[one], [of_task[one], *of_all])
                for one in TASKS
            }
            if n < levels - 1:
                gate = weights[f"levels.{n}.shared_gate.scores.weight"]
                shared = mixed(gate, shared, [*of_task.values(), *of_all])
        expected.append(tower(model.towers[task], own[task]))
    check_logits(model, task, expected)
    assert f"levels.{levels - 1}.shared_gate.scores.weight" not in weights, "the last level has task gates only"
