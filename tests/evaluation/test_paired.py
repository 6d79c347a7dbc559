"""Paired figures: exact without weights, the right spread with them, and no win that chance would give."""

import numpy as np
import pytest

from ncs.evaluation.comparison import Compared, as_table, differences
from ncs.evaluation.paired import Figures, figures
from ncs.metrics import METRICS, auc, weighted_auc
from ncs.tasks import tasks_of
from tests.factories import toy_conf

TASKS = tasks_of(toy_conf())


def rows(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = (random.random(count) < 0.4).astype(np.float32)
    return labels, np.round(labels * 0.3 + random.random(count), 1)  # many ties


def test_weights_count_a_row_as_often_as_they_say() -> None:
    labels, scores = rows(200)
    weights = np.random.default_rng(1).integers(0, 4, (200, 60)).astype(np.int8)
    for column in (0, 59):
        repeated = np.repeat(labels, weights[:, column]), np.repeat(scores, weights[:, column])
        assert weighted_auc(labels, scores, weights)[column] == pytest.approx(auc(*repeated))
        mean = pytest.approx(np.mean((repeated[0] - repeated[1]) ** 2))
        assert METRICS["mse"].weighted(labels, scores, weights)[column] == mean


def test_rows_without_a_label_do_not_count() -> None:
    labels, scores = rows(300)
    holes = labels.copy()
    holes[100:] = np.nan
    found = figures(TASKS["cvr"], holes, [{"a": scores}, {"a": scores / 2}], resamples=50, seed=0)["a"]
    errors = [np.mean((labels[:100] - s[:100]) ** 2) for s in (scores, scores / 2)]
    assert found.by_seed == pytest.approx(errors)
    assert found.value == pytest.approx(np.mean(errors))
    assert found.by_resample.shape == (50,)


def test_the_interval_over_rows_is_as_wide_as_the_standard_error_says() -> None:
    random = np.random.default_rng(3)
    labels, scores = random.random(4000), np.full(4000, 0.5)
    found = figures(TASKS["cvr"], labels, [{"a": scores}], resamples=2000, seed=0)["a"]
    error = ((labels - scores) ** 2).std() / np.sqrt(4000)
    assert (found.over_rows.high - found.over_rows.low) / (2 * 1.96) == pytest.approx(error, rel=0.08)
    assert found.over_both == pytest.approx(found.over_rows, abs=0.3 * error), "one seed: the rows alone"


def test_seeds_and_rows_both_widen_the_interval() -> None:
    random = np.random.default_rng(0)
    resamples = random.normal(0, 0.1, 2000)
    apart = Figures(np.array([-1.0, 0.0, 1.0, 0.0, 0.0]), resamples)
    alike = Figures(np.zeros(5), resamples)
    widths = {name: one.over_both.high - one.over_both.low for name, one in (("apart", apart), ("alike", alike))}
    assert widths["alike"] == pytest.approx(2 * 1.96 * 0.1, rel=0.05)
    seeds_alone = apart.over_seeds.high - apart.over_seeds.low
    assert seeds_alone == pytest.approx(2 * 2.776 * apart.by_seed.std(ddof=1) / np.sqrt(5), rel=1e-3)
    assert widths["apart"] > max(0.95 * seeds_alone, widths["alike"])


def test_equal_models_are_rarely_told_apart() -> None:
    """Of 200 comparisons of models that differ at random alone, about 5 % may look settled."""
    random, settled = np.random.default_rng(5), 0
    for n in range(200):
        labels = random.random(300)
        predictions = [{s: labels + random.normal(0, 0.3, 300) for s in "ab"} for _ in range(4)]
        found = figures(TASKS["cvr"], labels, predictions, resamples=200, seed=n)
        settled += found["a"].minus(found["b"]).over_both.excludes_zero
    assert settled <= 20


def compared(model: str, mse: float, area: float) -> Compared:
    spread = np.random.default_rng(1).normal(0, 1e-5, 100)
    seeds = np.array([-1e-5, 1e-5, 0])
    made = {"cvr": Figures(mse + seeds, mse + spread), "ctr": Figures(area + seeds, area + 2 * spread)}
    facts = {"parameters": 1000, "density": 0.5, "seconds": 20.0 if model == "single_task" else 30.0}
    return Compared(model, {}, [facts] * 3, made)


def test_a_win_is_claimed_only_where_the_interval_excludes_zero() -> None:
    models = [compared("single_task", 0.135, 0.79), compared("b", 0.134, 0.78), compared("c", 0.134, 0.79)]
    listed = differences(models, TASKS, ["single_task", "b", "nobody"])
    found = {(one.model, one.reference, one.task): one for one in listed}
    assert found["b", "single_task", "cvr"].better is True
    assert found["b", "single_task", "ctr"].better is False
    assert found["c", "b", "cvr"].better is None
    assert found["b", "single_task", "cvr"].relative == pytest.approx(-0.001 / 0.135)
    assert not any("nobody" in key for key in found)
    table = as_table(models, TASKS, ["single_task", "b"])
    header, _, single, b, _ = table.splitlines()
    assert header.split("|")[2].strip() == "CVR MSE", "the task that the paper is about comes first"
    assert [cell.strip() for cell in single.split("|")][2:4] == ["0.13500", "0.13688"], "the paper's figure beside"
    assert [part for part in ("+100 [", "] better", "-100 [", "] worse") if part not in b] == [], "+ is better in both"
    assert b.split("|")[-2].strip() == "1.5"
