"""The whole workflow on the real KuaiRand slice: raw files in, comparison and report out, twice, and a notebook."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from matplotlib import pyplot as plt
from pyspark.sql import SparkSession

from jobs.cli import main
from ncs.lake import layout, storage
from ncs.lake.layout import Lake
from tests.toy import ROOT

SLICE = ROOT / "tests" / "data" / "kuairand"
SETTINGS = ["train.epochs=2", "prune.rounds=2", "train.threads=1", "logs.days=2022-04-08..2022-04-12"]
RUN = ["run", "--conf", str(ROOT / "conf" / "kuairand.yaml"), "--set", f"logs.source={SLICE}"]
RUN += [part for setting in SETTINGS for part in ("--set", setting)]


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake.at(str(tmp_path_factory.mktemp("kuairand")))
    assert main([*RUN, "--lake", lake.root]) == 0
    return lake


def tables(lake: Lake) -> dict[str, int]:
    names = [f"{layer}/{name}" for layer in ("bronze", "silver", "gold") for name in storage.folders(lake.uri(layer))]
    return {name: lake.version(name) for name in names}


def test_the_labels_are_those_of_the_files(spark: SparkSession, lake: Lake) -> None:
    """Counted again by plain Python from the official columns."""
    expected: Counter[str] = Counter()
    seen = set()
    (path,) = SLICE.glob("log_standard*.csv")
    lines = [line.split(",") for line in path.read_text().splitlines()]
    for row in (dict(zip(lines[0], line, strict=True)) for line in lines[1:]):
        key = (row["user_id"], row["video_id"], row["time_ms"])
        # 8 April begins in Shanghai at 16:00 UTC of the day before.
        inside = 1649347200000 <= int(row["time_ms"]) < 1649347200000 + 5 * 86_400_000
        if inside and key not in seen:
            expected["impressions"] += 1
            expected["clicks"] += int(row["is_click"])
            expected["labelled"] += row["is_click"] == "1" and int(row["duration_ms"]) > 0
        if inside:
            seen.add(key)
    assert expected["clicks"] > 500
    samples = spark.read.format("delta").load(lake.uri(layout.SAMPLES))
    found = samples.selectExpr("count(*)", "sum(clicked)", "count(cvr)").first()
    assert found is not None
    assert tuple(found) == (expected["impressions"], expected["clicks"], expected["labelled"])


def test_every_row_is_accounted_for(lake: Lake) -> None:
    for key, (_, record) in lake.records(layout.SAMPLES).items():
        for name, log in record.facts["logs"].items():
            accounted = log["kept"] + log["duplicates"] + sum(log["quarantined"].values())
            assert log["rows"] == accounted, (key, name)


def test_the_comparison_and_the_report_are_there(spark: SparkSession, lake: Lake) -> None:
    run_id = storage.read_json(lake.uri("models", "latest.json"))["run_id"]
    rows = spark.read.format("delta").load(lake.uri(layout.EVALUATIONS)).where(f"run_id = '{run_id}'").collect()
    assert {(row.system, row.metric) for row in rows} == {
        (system, metric)
        for system in ("single_task", "layer_share", "connection_share")
        for metric in ("auc", "mse", "log_loss")
    }
    for row in rows:
        assert row.ci_low < row.value < row.ci_high
        assert row.value > 0.5 if row.metric == "auc" else row.value > 0
    page = Path(lake.uri("reports", run_id, "report.html")).read_text()
    for part in ('id="comparison"', 'id="learning"', 'id="masks-connection_share"', 'id="labels"', 'id="lineage"'):
        assert part in page
    assert page.count("<svg") == 15
    assert not re.search(r'(src|href)="?https?:', page), "self-contained"
    lineage = storage.read_json(lake.uri("models", run_id, "run.json"))["lineage"]
    assert lineage["tables"].items() <= tables(lake).items()


def test_the_same_command_again_does_nothing(lake: Lake, capfd: pytest.CaptureFixture[str]) -> None:
    before = tables(lake)
    assert main([*RUN, "--lake", lake.root]) == 0
    printed = capfd.readouterr()
    assert tables(lake) == before
    assert "train: nothing to train" in printed.err
    last = printed.out.strip().splitlines()
    assert last[0].startswith("system")
    assert last[-1].startswith("report: ")


def test_the_notebook_runs_and_draws(spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCS_LAKE", lake.root)
    source = (ROOT / "notebooks" / "quick_start.py").read_text()
    assert source.startswith("# Databricks notebook source\n")
    plt.close("all")
    names: dict[str, Any] = {"spark": spark}
    for number, cell in enumerate(source.split("# COMMAND ----------")):
        exec(compile(cell, f"quick_start.py cell {number}", "exec"), names)
    figures = [plt.figure(number) for number in plt.get_fignums()]
    assert len(figures) == 3
    assert all(axis.has_data() for figure in figures for axis in figure.axes)
    assert len(names["labels"]) == 5
    assert set(names["comparison"]["system"]) == {"single_task", "layer_share", "connection_share"}
    plt.close("all")
