"""The page of a run: figures as they are, everything escaped, nothing claimed that the intervals do not carry."""

import re
from typing import Any

import pytest
from pyspark.sql import SparkSession

from ncs.evaluation.metrics import TRUTH, Figure
from ncs.evaluation.report import LabelDays, Trained, finding, label_days, render
from ncs.evaluation.table import as_text
from tests.toy import toy_conf

SYSTEMS = ["single_task", "connection_share"]


def figure(system: str, metric: str, value: float, half: float = 0.001, gain: float = 0.0) -> Figure:
    task = "cvr" if metric == "mse" else "ctr"
    return Figure("run-1", system, task, metric, value, value - half, value + half, 100, "single_task", gain)


FIGURES = [
    figure("single_task", "mse", 0.13688),
    figure("connection_share", "mse", 0.13226, gain=0.13226 / 0.13688 - 1),
    figure(TRUTH, "mse", 0.11),
    figure("single_task", "auc", 0.78572),
    figure("connection_share", "auc", 0.78500, gain=0.78500 / 0.78572 - 1),
    figure(TRUTH, "auc", 0.87),
]
MASKS: dict[str, Any] = {
    "layers": {"hidden.0": 10, "output": 4},
    "rounds": {
        task: [
            {"round": n, "density": {"all": d, "hidden.0": d, "output": d}, "validation": 0.1 + n / 100}
            for n, d in enumerate((1.0, 0.7))
        ]
        for task in ("ctr", "cvr")
    },
    "chosen": {"ctr": 1, "cvr": 0},
    "overlap": [
        {"round": n, "jaccard": {"all": j, "hidden.0": j}, "chance": {"all": j, "hidden.0": j / 2}}
        for n, j in enumerate((1.0, 0.6))
    ],
    "chosen_overlap": {
        kind: {"all": 0.3, "hidden.0": 0.3} for kind in ("jaccard", "chance", "shared", "ctr_only", "cvr_only")
    },
}


@pytest.fixture(scope="module")
def page() -> str:
    line = {"phase": "joint", "task": None, "round": None, "epoch": 1, "validation": {"ctr_auc": 0.7, "cvr_mse": 0.1}}
    run = {
        "run_id": "run-1",
        "name": "<script>alert(1)</script>",
        "systems": SYSTEMS,
        "conf": toy_conf().model_dump(),
        "lineage": {
            "tables": {"gold/ctr_samples": 7},
            "ncs": "0",
            "git": None,
            "packages": {},
            "seed": 1,
            "workers": 1,
        },
    }
    trained = {"single_task": Trained([line], None), "connection_share": Trained([line], MASKS)}
    day = {"day": "2022-04-08", "impressions": 1234, "clicks": 5, "click_rate": 0.4, "labelled": 5, "mean_cvr": None}
    return render(run, FIGURES, trained, LabelDays([day], [1] * 20))


def test_figures_gains_and_the_papers_own_stand_in_the_table(page: str) -> None:
    for text in ("0.13688", "0.13226", "+0.00462 (-3.38%)", "-0.00072 (-0.09%)", "0.78874", "reachable end", "1,234"):
        assert text in page
    assert page.count("<svg") == 6


def test_what_comes_from_configuration_is_escaped(page: str) -> None:
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r'(src|href)="?https?:', page)


def test_a_win_is_claimed_only_where_the_intervals_are_apart() -> None:
    by_key = {(one.system, one.metric): one for one in FIGURES}
    assert "do not overlap" in finding(by_key, SYSTEMS, "mse")
    assert "this one run does not settle it" in finding(by_key, SYSTEMS, "auc")


def test_the_text_table_has_a_line_a_system() -> None:
    lines = as_text(FIGURES, SYSTEMS).splitlines()
    assert [line.split()[0] for line in lines if not line.startswith("-")] == ["system", *SYSTEMS, "(truth)"]
    assert "+0.00462 (-3.38%)" in lines[3]
    assert "(reachable)" in lines[4]


def test_labels_are_counted_by_day_and_bin(spark: SparkSession) -> None:
    rows = [("2022-04-08", 1, 0.0), ("2022-04-08", 1, 1.0), ("2022-04-08", 0, None), ("2022-04-09", 1, 0.07)]
    frame = spark.createDataFrame(rows, "day string, clicked int, cvr double")
    labels = label_days(frame)
    assert [(day["day"], day["impressions"], day["clicks"]) for day in labels.days] == [
        ("2022-04-08", 3, 2),
        ("2022-04-09", 1, 1),
    ]
    assert labels.days[0]["mean_cvr"] == 0.5
    assert {n: count for n, count in enumerate(labels.histogram) if count} == {0: 1, 1: 1, 19: 1}
