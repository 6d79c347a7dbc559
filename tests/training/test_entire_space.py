"""ESMM and ESM² against their equations."""

import pytest
import torch

from ncs.nets.layers import Tower
from tests.training.known import (
    CLICKED,
    CVR,
    IDS,
    TASKS,
    batch,
    built,
    cross_entropy,
    gradients,
    inputs,
    part,
    sigmoid,
    tower,
)


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
    model = built("esmm", *weighted_tasks(*configured))
    ctr_loss, ctr_weight, cvr_loss, cvr_weight = configured
    click = [sigmoid(tower(model.towers["ctr"], x)) for x in inputs(model)]
    cvr = [sigmoid(tower(model.towers["cvr"], x)) for x in inputs(model)]
    torch.testing.assert_close(model.probability(IDS, "cvr"), torch.tensor(cvr))
    known = of_known_rows()
    assert known == [(0, 0.0), (1, 1.0), (2, 0.3), (3, 0.0)]
    expected = ctr_weight * sum(LOSSES[ctr_loss](p, label) for p, label in zip(click, CLICKED, strict=True))
    expected += cvr_weight * sum(LOSSES[cvr_loss](click[n] * cvr[n], label) for n, label in known)
    assert model.loss(batch(), "ctr").item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("configured", CONFIGURED)
@pytest.mark.parametrize("played", [0.2, 0.5])
def test_esm2s_losses_follow_the_decomposition(configured: tuple[str, float, str, float], played: float) -> None:
    model = built("esm2", f"net.esm2.played={played}", *weighted_tasks(*configured))
    ctr_loss, ctr_weight, cvr_loss, cvr_weight = configured
    names = ("action", "conversion_of_action", "conversion_of_other")
    expected, cvr = 0.0, []
    for n, x in enumerate(inputs(model)):
        y1 = sigmoid(tower(model.towers["ctr"], x))
        y2, y3, y4 = (sigmoid(tower(model.after_click[name], x)) for name in names)
        cvr.append(y2 * y3 + (1 - y2) * y4)
        expected += ctr_weight * LOSSES[ctr_loss](y1, CLICKED[n])
        if n in dict(of_known_rows()):
            watched = dict(of_known_rows())[n]
            acted = 1.0 if watched >= played else 0.0
            expected += ctr_weight * LOSSES[ctr_loss](y1 * y2, acted)
            expected += cvr_weight * LOSSES[cvr_loss](y1 * cvr[n], watched)
    torch.testing.assert_close(model.probability(IDS, "cvr"), torch.tensor(cvr))
    torch.testing.assert_close(torch.sigmoid(model.logits(IDS, "cvr")), torch.tensor(cvr))
    assert model.loss(batch(), "ctr").item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", ["esmm", "esm2"])
def test_a_click_without_a_label_of_cvr_counts_for_ctr_alone(name: str) -> None:
    model = built(name)
    alone = gradients(model, part(batch(), [4]), "ctr")
    assert all(values.isfinite().all() for values in alone.values())
    after_click = [values for weight, values in alone.items() if weight.startswith(("towers.cvr", "after_click"))]
    assert after_click, "a gradient of 0 and not none, as workers add up the same weights"
    assert not any(values.any() for values in after_click)
    assert alone["towers.ctr.output.weight"].any()
    # An embedding row's gradient comes from both losses: as many rows, added up, are the whole.
    whole = gradients(model, batch(), "ctr")
    parts = [gradients(model, part(batch(), [n]), "ctr") for n in range(5)]
    for weight, values in whole.items():
        torch.testing.assert_close(values, sum(one[weight] for one in parts))


@pytest.mark.parametrize("name", ["esmm", "esm2"])
@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_certain_predictions_have_finite_losses_and_gradients(name: str, logit: float) -> None:
    model = built(name, *weighted_tasks("cross_entropy", 1.0, "cross_entropy", 1.0))
    for task_tower in model.modules():
        if isinstance(task_tower, Tower):
            task_tower.output.bias.data.fill_(logit)
    assert model.loss(batch(), "ctr").isfinite()
    assert all(values.isfinite().all() for values in gradients(model, batch(), "ctr").values())


@pytest.mark.parametrize("name", ["esmm", "esm2"])
def test_the_entire_space_teaches_cvr_and_other_tasks_have_their_own_samples(name: str) -> None:
    (group,) = built(name).groups
    assert group.tasks == TASKS
    assert group.samples == ("ctr", "finish")
