"""Every cell of every notebook runs on a small lake, and every figure shows something."""

from pathlib import Path
from typing import Any

import matplotlib
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from ncs.lake import layout
from ncs.lake.layout import Lake
from tests.evaluation.made import ROWS, RUN, SYSTEMS, put, write_lake
from tests.toy import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))


def write_evaluations(lake: Lake) -> None:
    rows = [
        {"run_id": RUN, "system": system, "task": task, "metric": metric, "value": 0.5, "ci_low": 0.4, "ci_high": 0.6}
        for system in SYSTEMS
        for task, metric in (("cvr", "mse"), ("ctr", "auc"), ("ctr", "log_loss"))
    ]
    rows = [{**row, "n": ROWS, "baseline": SYSTEMS[0], "gain": 0.0} for row in rows]
    types = dict.fromkeys(("run_id", "system", "task", "metric", "baseline"), pa.string())
    types |= dict.fromkeys(("value", "ci_low", "ci_high", "gain"), pa.float64())
    put(lake, layout.EVALUATIONS, rows, {**types, "n": pa.int64()}, RUN)


def execute(path: Path, names: dict[str, Any]) -> dict[str, Any]:
    """Run a notebook's cells in one namespace, as Databricks does, and give what they leave."""
    source = path.read_text()
    assert source.startswith("# Databricks notebook source\n")
    for number, cell in enumerate(source.split("# COMMAND ----------")):
        exec(compile(cell, f"{path.name} cell {number}", "exec"), names)
    return names


def test_quick_start(
    spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_evaluations(write_lake(lake))
    monkeypatch.setenv("NCS_LAKE", lake.root)
    plt.close("all")
    try:
        (path,) = NOTEBOOKS
        found = execute(path, {"spark": spark})
        figures = [plt.figure(number) for number in plt.get_fignums()]
        assert len(figures) == 3
        assert all(figure.axes and all(axis.has_data() for axis in figure.axes) for figure in figures)
    finally:
        plt.close("all")
    printed = capsys.readouterr().out
    assert list(found["labels"]["impressions"]) == [ROWS] * 3
    assert list(found["labels"]["click_rate"]) == [0.5] * 3
    assert found["reasons"].to_dict("records") == [{"log": "plays", "reason": "bad_watch", "count": 3}]
    assert (
        "connection_share, ctr round 1: keeps all 62%, hidden.0 50%, hidden.1 75%; validation 0.72000  <- chosen"
        in (printed)
    )
    assert set(zip(found["comparison"]["system"], found["comparison"]["metric"], strict=True)) == {
        (system, metric) for system in SYSTEMS for metric in ("mse", "auc")
    }
