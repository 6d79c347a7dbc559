"""A metric is declared once: config, tasks, tables, views and report ask its declaration."""

import numpy as np
import pytest

from ncs.errors import ConfigError
from ncs.evaluation.comparison import legend
from ncs.evaluation.report import _others
from ncs.evaluation.tables import gain
from ncs.lake.columns import METRIC
from ncs.lake.tables.rows import Figure
from ncs.lake.views import MODEL_COMPARISON
from ncs.metrics import METRICS, Kind, Metric, judging, names
from ncs.tasks import named_tasks
from tests.evaluation.factories import judged
from tests.factories import toy_conf

FINISH = "tasks.finish={label: cast(cvr >= 0.95 as float), loss: cross_entropy, metric: auc}"


def test_tasks_know_the_metrics_that_apply_to_them() -> None:
    found = {name: [metric.name for metric in task.metrics] for name, task in named_tasks(toy_conf(FINISH)).items()}
    calibration = ["ece", "ece_calibrated"]
    assert found == {
        "ctr": ["auc", "gauc", "log_loss", *calibration],
        "cvr": ["mse", "spearman", *calibration],
        "finish": ["auc", "gauc", *calibration],
    }


def test_a_task_is_judged_by_a_metric_that_is_there() -> None:
    assert judging() == ["auc", "mse"]
    with pytest.raises(ConfigError, match=r"tasks.finish.metric: Input should be 'auc' or 'mse' \(found 'gauc'\)"):
        toy_conf(FINISH.replace("metric: auc", "metric: gauc"))


def test_what_is_better_is_said_once() -> None:
    assert names(more_is_better=True) == ["auc", "gauc", "spearman"]
    assert "metric IN ('auc', 'gauc', 'spearman') AS more_is_better" in MODEL_COMPARISON.query
    assert all(f"{name}: " in METRIC.comment for name in METRICS)
    assert "Differences in 1e-5 (CVR MSE), 1e-4 (CTR AUC), more is better" in legend(
        judged({"a": (0.1, 0.7)}), ["a"], 5
    )


def test_a_metric_that_joins_is_in_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    joined = Metric("mae", "MAE", "mean absolute error", False, frozenset({Kind.REGRESSION}), error=lambda f, y, p: y)
    monkeypatch.setitem(METRICS, "mae", joined)
    figure = Figure("r", "a", "cvr", "mae", 0.25, 0.2, 0.3, 9, "b", -0.5)
    assert _others([figure], ["a"], list(named_tasks(toy_conf()).values())) == {"CVR MAE": [figure]}
    assert gain(figure) == "+0.25000 (-50.00%)", "less is better"


def test_skill_is_0_for_a_constant_prediction_and_1_for_a_perfect_one() -> None:
    labels = np.array([0.0, 0.5, 1.0, 0.5])
    mse, auc = METRICS["mse"], METRICS["auc"]
    assert mse.skill(mse.figure(labels, np.full(4, 0.5)), labels.var()) == 0
    assert mse.skill(mse.figure(labels, labels), labels.var()) == 1
    assert (auc.skill(0.5), auc.skill(1.0)) == (0, 1)
    assert (mse.skill(0.0), mse.skill(0.1)) == (1, 0.5), "without the labels' variance a perfect one alone is known"
