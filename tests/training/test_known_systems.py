"""The known multi-task systems against their equations, written out with loops, and trained once."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from ncs.feed import Batch
from ncs.lake.layout import Lake
from ncs.nets.experts import Gate
from ncs.nets.inputs import FieldEmbedding
from ncs.nets.layers import Tower
from ncs.nets.routing import HardConcrete
from ncs.nets.system import System, module_of
from ncs.training.cluster import Cluster
from ncs.training.metrics import auc
from ncs.training.predictor import Predictor
from ncs.training.run import Run, field_sizes, train
from tests.toy import toy_conf, toy_rows, toy_spec, write_toy_lake

KNOWN = ["mmoe", "ple", "ple_2", "snr_trans", "snr_aver", "esmm", "esm2"]
THIRD = "tasks.finish={label: finished, loss: cross_entropy, metric: auc}"
TASKS = ("ctr", "cvr", "finish")
NAN = math.nan
IDS = torch.tensor([[0, 0, 0], [4, 6, 2], [1, 3, 2], [2, 5, 1], [3, 1, 0]])
# Not clicked; clicked and watched to the end, in part, not at all; clicked without a label of CVR.
CLICKED = [0.0, 1.0, 1.0, 1.0, 1.0]
CVR = [NAN, 1.0, 0.3, 0.0, NAN]
FINISHED = [NAN, 1.0, 0.0, 0.0, 1.0]


def built(name: str, *overrides: str) -> System:
    """A system of the catalogue with three tasks, every weight and bias away from where it starts."""
    spec = toy_spec(THIRD, *overrides, system=name)
    torch.manual_seed(3)
    system = module_of(toy_conf().of_system(name)).build(spec).eval()
    for weight in system.parameters():
        weight.data.normal_(std=0.5)
    return system


def batch(ids: Tensor = IDS, **labels: list[float]) -> Batch:
    columns = {"ctr": CLICKED, "cvr": CVR, "finish": FINISHED} | labels
    return Batch(ids, {task: torch.tensor(values) for task, values in columns.items()}, len(ids))


def part(whole: Batch, rows: list[int]) -> Batch:
    return Batch(whole.ids[rows], {task: labels[rows] for task, labels in whole.labels.items()}, whole.total)


def gradients(system: System, one: Batch, task: str) -> dict[str, Tensor]:
    """Of every weight that the task's loss has to do with, embedding rows among them."""
    system.zero_grad()
    system.loss(one, task).backward()
    found = {name: weight.grad for name, weight in system.named_parameters() if weight.grad is not None}
    for name, embedding in system.named_modules():
        if isinstance(embedding, FieldEmbedding):
            assert embedding.touched is not None
            rows, values = embedding.touched
            assert values.grad is not None
            found[name] = torch.zeros_like(embedding.table).index_add_(0, rows, values.grad)
    return found


# One row at a time, in plain loops.


def layer(weight: Tensor, bias: Tensor | None, x: list[float]) -> list[float]:
    sums = [math.fsum(w * v for w, v in zip(row, x, strict=True)) for row in weight.tolist()]
    return sums if bias is None else [s + b for s, b in zip(sums, bias.tolist(), strict=True)]


def relu(x: list[float]) -> list[float]:
    return [max(v, 0.0) for v in x]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def tower(part: Tower, x: list[float]) -> float:
    for one in part.hidden:
        x = relu(layer(one.weight, one.bias, x))
    (logit,) = layer(part.output.weight, part.output.bias, x)
    return logit


def expert(weights: Mapping[str, Tensor], prefix: str, n: int, count: int, x: list[float]) -> list[float]:
    """The n-th of `count` sub-networks whose layers lie side by side."""
    depth = 0
    while f"{prefix}.layers.{depth}.weight" in weights:
        weight, bias = (weights[f"{prefix}.layers.{depth}.{name}"] for name in ("weight", "bias"))
        width = len(weight) // count
        rows = slice(n * width, (n + 1) * width)
        x = relu(layer(weight[rows], bias[rows], x))
        depth += 1
    return x


def mixed(scores: Tensor, x: list[float], experts: list[list[float]]) -> list[float]:
    """Experts weighted by the softmax of scores."""
    e = [math.exp(score) for score in layer(scores, None, x)]
    return weighted([value / sum(e) for value in e], experts)


def weighted(shares: list[float], vectors: list[list[float]]) -> list[float]:
    return [sum(share * v[k] for share, v in zip(shares, vectors, strict=True)) for k in range(len(vectors[0]))]


def inputs(system: System) -> list[list[float]]:
    return system.inputs(IDS).tolist()


def check_logits(system: System, task: str, expected: list[float]) -> None:
    torch.testing.assert_close(system.logits(IDS, task), torch.tensor(expected))


@pytest.mark.parametrize(("hidden", "tower_depth"), [("[6, 4]", 1), ("[6, 5, 4]", 1), ("[6]", 0)])
@pytest.mark.parametrize("task", TASKS)
def test_mmoe_mixes_shared_experts_by_a_gate_a_task(task: str, hidden: str, tower_depth: int) -> None:
    system = built("mmoe", f"net.hidden={hidden}", "net.experts=3")
    weights = system.state_dict()
    assert len(system.towers[task].hidden) == tower_depth
    expected = []
    for x in inputs(system):
        experts = [expert(weights, "experts", n, 3, x) for n in range(3)]
        expected.append(tower(system.towers[task], mixed(weights[f"gates.{task}.scores.weight"], x, experts)))
    check_logits(system, task, expected)


def test_a_gates_shares_are_positive_and_sum_to_one() -> None:
    shares = Gate(5, 4).shares(10 * torch.randn(7, 5))
    torch.testing.assert_close(shares.sum(1), torch.ones(7))
    assert (shares > 0).all()


@pytest.mark.parametrize("task", TASKS)
def test_ple_with_one_level_mixes_own_and_shared_experts(task: str) -> None:
    system = built("ple", "net.ple={shared: 2, own: 3, levels: 1}")
    weights = system.state_dict()
    expected = []
    for x in inputs(system):
        experts = [expert(weights, f"levels.0.own.{task}", n, 3, x) for n in range(3)]
        experts += [expert(weights, "levels.0.shared", n, 2, x) for n in range(2)]
        expected.append(tower(system.towers[task], mixed(weights[f"levels.0.gates.{task}.scores.weight"], x, experts)))
    check_logits(system, task, expected)


@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize("task", TASKS)
def test_ple_hands_each_tasks_mixture_and_that_of_all_experts_to_the_next_level(task: str, levels: int) -> None:
    system = built("ple", f"net.ple={{shared: 2, own: 1, levels: {levels}}}")
    weights = system.state_dict()
    expected = []
    for x in inputs(system):
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
        expected.append(tower(system.towers[task], own[task]))
    check_logits(system, task, expected)
    assert f"levels.{levels - 1}.shared_gate.scores.weight" not in weights, "the last level has task gates only"


@pytest.mark.parametrize("name", ["mmoe", "ple", "ple_2", "snr_trans", "snr_aver", "esmm"])
def test_a_tasks_batch_leaves_what_is_another_tasks_alone(name: str) -> None:
    """No gradient at all: the optimiser would go on moving a weight whose gradient is 0."""
    moved = gradients(built(name), batch(), "finish")
    assert any(".finish." in weight for weight in moved)
    ends = [weight for weight in moved if weight.startswith(("towers", "gates", "to_task", "levels.1.own"))]
    assert all(".finish." in weight for weight in ends)


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


@pytest.mark.parametrize("name", ["snr_trans", "snr_aver"])
@pytest.mark.parametrize("task", TASKS)
def test_snr_routes_sub_networks_through_gates(name: str, task: str) -> None:
    system = built(name, "net.snr={subnets: 3, l0: 0.01}")
    weights = system.state_dict()

    def routed(prefix: str, j: int, vectors: list[list[float]]) -> list[float]:
        z = [hard_concrete(a) for a in weights[f"{prefix}.gates.log_alpha"].view(-1, 3)[j].tolist()]
        if name == "snr_trans":
            blocks = weights[f"{prefix}.weight"].view(-1, 6, 3, 6)
            vectors = [layer(blocks[j, :, i], None, v) for i, v in enumerate(vectors)]
        return weighted(z, vectors)

    expected = []
    for x in inputs(system):
        lower = [expert(weights, "lower", n, 3, x) for n in range(3)]
        upper = [expert(weights, "upper", n, 3, routed("between", n, lower)) for n in range(3)]
        expected.append(tower(system.towers[task], routed(f"to_task.{task}", 0, upper)))
    check_logits(system, task, expected)


@pytest.mark.parametrize("name", ["snr_trans", "snr_aver"])
def test_snr_pays_for_open_gates_by_the_row(name: str) -> None:
    free, paid = built(name, "net.snr={subnets: 3, l0: 0.0}"), built(name, "net.snr={subnets: 3, l0: 0.01}")
    weights = paid.state_dict()
    gates = [*weights["between.gates.log_alpha"].tolist(), *weights["to_task.ctr.gates.log_alpha"].tolist()]
    assert len(gates) == 3 * 3 + 3
    open_ = sum(sigmoid(a - 2 / 3 * math.log(0.1 / 1.1)) for a in gates)
    extra = paid.loss(batch(), "ctr") - free.loss(batch(), "ctr")
    assert extra.item() == pytest.approx(0.01 * len(IDS) * open_, rel=1e-4)


@pytest.mark.parametrize("name", ["snr_trans", "snr_aver"])
def test_snr_draws_the_same_for_the_same_seed_whatever_the_rows(name: str) -> None:
    system, whole = built(name).train(), batch()
    states = []
    for rows in ([0, 1, 2, 3, 4], [0, 1], []):
        torch.manual_seed(11)
        system.loss(part(whole, rows), "ctr")
        states.append(torch.get_rng_state())
    assert torch.equal(states[0], states[1])
    assert torch.equal(states[0], states[2])
    torch.manual_seed(11)
    first, other = system.loss(whole, "ctr"), system.loss(whole, "ctr")
    torch.manual_seed(11)
    assert torch.equal(system.loss(whole, "ctr"), first)
    assert not torch.equal(first, other)


def cross_entropy(p: float, label: float) -> float:
    return -label * math.log(p) - (1 - label) * math.log(1 - p)


def squared(p: float, label: float) -> float:
    return (p - label) ** 2


LOSSES = {"cross_entropy": cross_entropy, "squared_error": squared}
CONFIGURED = [("cross_entropy", 1.0, "squared_error", 4.0), ("squared_error", 2.0, "cross_entropy", 0.5)]


def weighted_tasks(ctr: str, ctr_weight: float, cvr: str, cvr_weight: float) -> list[str]:
    keys = {"ctr.loss": ctr, "ctr.weight": ctr_weight, "cvr.loss": cvr, "cvr.weight": cvr_weight}
    return [f"tasks.{key}={value}" for key, value in keys.items()]


def of_known_rows() -> list[tuple[int, float]]:
    """Rows that pCTCVR learns from, and the watched share of the impression."""
    return [(n, c * v if c else 0.0) for n, (c, v) in enumerate(zip(CLICKED, CVR, strict=True)) if not (c and v != v)]


@pytest.mark.parametrize("configured", CONFIGURED)
def test_esmms_loss_is_over_the_entire_space(configured: tuple[str, float, str, float]) -> None:
    system = built("esmm", *weighted_tasks(*configured))
    ctr_loss, ctr_weight, cvr_loss, cvr_weight = configured
    click = [sigmoid(tower(system.towers["ctr"], x)) for x in inputs(system)]
    cvr = [sigmoid(tower(system.towers["cvr"], x)) for x in inputs(system)]
    torch.testing.assert_close(system.probability(IDS, "cvr"), torch.tensor(cvr))
    known = of_known_rows()
    assert known == [(0, 0.0), (1, 1.0), (2, 0.3), (3, 0.0)]
    expected = ctr_weight * sum(LOSSES[ctr_loss](p, label) for p, label in zip(click, CLICKED, strict=True))
    expected += cvr_weight * sum(LOSSES[cvr_loss](click[n] * cvr[n], label) for n, label in known)
    assert system.loss(batch(), "ctr").item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("configured", CONFIGURED)
@pytest.mark.parametrize("played", [0.2, 0.5])
def test_esm2s_losses_follow_the_decomposition(configured: tuple[str, float, str, float], played: float) -> None:
    system = built("esm2", f"net.esm2.played={played}", *weighted_tasks(*configured))
    ctr_loss, ctr_weight, cvr_loss, cvr_weight = configured
    names = ("action", "conversion_of_action", "conversion_of_other")
    expected, cvr = 0.0, []
    for n, x in enumerate(inputs(system)):
        y1 = sigmoid(tower(system.towers["ctr"], x))
        y2, y3, y4 = (sigmoid(tower(system.after_click[name], x)) for name in names)
        cvr.append(y2 * y3 + (1 - y2) * y4)
        expected += ctr_weight * LOSSES[ctr_loss](y1, CLICKED[n])
        if n in dict(of_known_rows()):
            watched = dict(of_known_rows())[n]
            acted = 1.0 if watched >= played else 0.0
            expected += ctr_weight * LOSSES[ctr_loss](y1 * y2, acted)
            expected += cvr_weight * LOSSES[cvr_loss](y1 * cvr[n], watched)
    torch.testing.assert_close(system.probability(IDS, "cvr"), torch.tensor(cvr))
    torch.testing.assert_close(torch.sigmoid(system.logits(IDS, "cvr")), torch.tensor(cvr))
    assert system.loss(batch(), "ctr").item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["esmm", "esm2"])
def test_a_click_without_a_label_of_cvr_counts_for_ctr_alone(name: str) -> None:
    system = built(name)
    alone = gradients(system, part(batch(), [4]), "ctr")
    assert all(values.isfinite().all() for values in alone.values())
    after_click = [values for weight, values in alone.items() if weight.startswith(("towers.cvr", "after_click"))]
    assert after_click, "a gradient of 0 and not none, as workers add up the same weights"
    assert not any(values.any() for values in after_click)
    assert alone["towers.ctr.output.weight"].any()
    # An embedding row's gradient comes from both losses: as many rows, added up, are the whole.
    whole = gradients(system, batch(), "ctr")
    parts = [gradients(system, part(batch(), [n]), "ctr") for n in range(5)]
    for weight, values in whole.items():
        torch.testing.assert_close(values, sum(one[weight] for one in parts))


@pytest.mark.parametrize("name", ["esmm", "esm2"])
@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_certain_predictions_have_finite_losses_and_gradients(name: str, logit: float) -> None:
    system = built(name, *weighted_tasks("cross_entropy", 1.0, "cross_entropy", 1.0))
    for task_tower in system.modules():
        if isinstance(task_tower, Tower):
            task_tower.output.bias.data.fill_(logit)
    assert system.loss(batch(), "ctr").isfinite()
    assert all(values.isfinite().all() for values in gradients(system, batch(), "ctr").values())


@pytest.mark.parametrize("name", ["esmm", "esm2"])
def test_the_entire_space_teaches_cvr_and_other_tasks_have_their_own_samples(name: str) -> None:
    (group,) = built(name).groups
    assert group.tasks == TASKS
    assert group.samples == ("ctr", "finish")


@pytest.mark.parametrize("name", KNOWN)
def test_a_third_task_is_predicted_and_learns(name: str) -> None:
    system = built(name)
    predicted = system.predict(IDS)
    assert tuple(predicted) == TASKS
    assert all(((values > 0) & (values < 1)).all() for values in predicted.values())
    rows = [1, 2, 3, 4]
    loss = system.loss(part(batch(), rows), "finish")
    own = sum(cross_entropy(predicted["finish"][n].item(), FINISHED[n]) for n in rows)
    if name.startswith("snr"):
        gates = system.between.gates.penalty() + system.to_task["finish"].gates.penalty()
        own += 0.0001 * len(rows) * gates.item()
    assert loss.item() == pytest.approx(own, rel=1e-4)
    found = gradients(system, part(batch(), rows), "finish")
    assert all(values.isfinite().all() for values in found.values())
    assert any(values.any() for weight, values in found.items() if weight.startswith("towers.finish"))


@pytest.mark.parametrize("name", KNOWN)
def test_workers_losses_and_gradients_add_up(name: str) -> None:
    """An empty part has the same weights' gradients, all 0: they are summed in one buffer."""
    system, whole = built(name).train(), batch()
    found = []
    for rows in ([0, 1, 2, 3, 4], [0, 3], [1, 2, 4], []):
        torch.manual_seed(2)
        found.append(gradients(system, part(whole, rows), "ctr"))
    all_, first, second, nothing = found
    assert all_.keys() == first.keys() == second.keys() == nothing.keys()
    for weight, values in all_.items():
        torch.testing.assert_close(first[weight] + second[weight], values, rtol=1e-4, atol=1e-5)
        assert not nothing[weight].any()


def test_known_systems_learn_in_a_run(lake: Lake) -> None:
    conf = toy_conf(f"train.system=[{', '.join(KNOWN)}]", "train.epochs=3")
    run = Run.of(conf, write_toy_lake(lake, conf))
    train(run, Cluster(), lambda _: None, quiet=True)
    ids, clicked, cvr = toy_rows(4000, seed=99)
    labelled = ~np.isnan(cvr)
    for system in KNOWN:
        predictor = Predictor.load(run.folder, system, conf, field_sizes(run))
        predicted = predictor.predict(ids)
        assert auc(clicked, predicted["ctr"]) > 0.55, system
        assert np.mean((predicted["cvr"][labelled] - cvr[labelled]) ** 2) < np.var(cvr[labelled]), system
        assert all(((values > 0) & (values < 1)).all() for values in predicted.values()), system
        again = predictor.predict(ids[:10])
        assert all(np.allclose(again[task], predicted[task][:10]) for task in again), system
