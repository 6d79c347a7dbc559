"""The whole workflow on the real KuaiRand slice: raw files in, comparison and report out, twice, and a notebook."""

import io
import re
import shutil
from collections import Counter
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pyspark.sql import SparkSession

from jobs.cli import main
from ncs.config import Config
from ncs.lake import layout, session, storage
from ncs.lake.layout import Lake
from ncs.metrics import auc
from ncs.notebook.source import execute
from tests.factories import ROOT
from tests.lake.assertions import matches_declaration

SLICE = ROOT / "tests" / "data" / "kuairand"
SETTINGS = ["train.epochs=2", "prune.rounds=2", "train.threads=1", "logs.days=2022-04-08..2022-04-12"]
RUN = ["run", "--conf", str(SLICE / "slice.yaml"), "--set", f"logs.source={SLICE}"]
RUN += [part for setting in SETTINGS for part in ("--set", setting)]


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    lake = Lake.at(str(tmp_path_factory.mktemp("kuairand") / "a b#数据 %25 [x]&+'?"))
    assert main([*RUN, "--lake", lake.root]) == 0
    return lake


FINISH = "tasks.finish={label: cast(cvr >= 0.95 as float), loss: cross_entropy, metric: auc}"
FURTHER = ["--set", FINISH, "--set", "train.epochs=1", "--set", "prune.rounds=1"]
FURTHER += ["--set", "train.models=[layer_share, connection_share, layer_share_theta]"]


@pytest.fixture(scope="module")
def further(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, str]:
    """The same lake, where a third task has joined by configuration alone; and the table that was printed."""
    copied = Lake.at(str(tmp_path_factory.mktemp("further") / "lake"))
    shutil.copytree(lake.root, copied.root)
    with redirect_stdout(io.StringIO()) as printed:
        assert main([*RUN, *FURTHER, "--lake", copied.root, "--quiet"]) == 0
    return copied, printed.getvalue()


def tables(lake: Lake) -> dict[str, int]:
    names = [f"{layer}/{name}" for layer in ("bronze", "silver", "gold") for name in storage.folders(lake.uri(layer))]
    return {name: lake.version(name) for name in names}


def test_every_table_is_what_the_data_dictionary_tells(lake: Lake) -> None:
    assert all(matches_declaration(lake, name) for name in tables(lake))


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
    assert {(row.model, row.metric) for row in rows} == {
        (model, metric)
        for model in ("single_task", "layer_share", "connection_share")
        for metric in ("auc", "gauc", "mse", "spearman", "ece", "log_loss")
    }
    for row in rows:
        assert row.ci_low <= row.value < row.ci_high, "a debiased calibration error can be 0"
        assert row.value > 0.5 if row.metric == "auc" else row.value > 0 or row.metric in ("gauc", "spearman", "ece")
    page = Path(lake.uri("reports", run_id, "report.html")).read_text()
    for part in ('id="comparison"', 'id="learning"', 'id="masks-connection_share"', 'id="labels"', 'id="lineage"'):
        assert part in page
    assert page.count("<svg") == 15 + 2 + 2 + 3 + 6 + 1, (
        "scores and calibration of two tasks, maps of two layers, errors by three slices, conflict"
    )
    assert not re.search(r'(src|href)="?https?:', page), "self-contained"
    lineage = storage.read_json(lake.uri("models", run_id, "run.json"))["lineage"]
    assert lineage["tables"].items() <= tables(lake).items()


def test_the_same_command_again_does_nothing(
    lake: Lake, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it start a JVM: what is current shows in the tables' logs."""
    before = tables(lake)
    monkeypatch.setattr(session, "spark_session", lambda *_: pytest.fail("it asks for a Spark session"))
    assert main([*RUN, "--lake", lake.root]) == 0
    printed = capfd.readouterr()
    assert tables(lake) == before
    assert "train: nothing to train" in printed.err
    last = printed.out.strip().splitlines()
    assert last[0].startswith("model")
    assert last[-1].startswith("report: ")


@pytest.mark.parametrize(("name", "figures"), [("quick_start", 3), ("labels", 2), ("masks", 4), ("comparison", 4)])
def test_the_notebooks_run_and_draw(spark: SparkSession, lake: Lake, name: str, figures: int) -> None:
    names: dict[str, Any] = {"spark": spark, "widgets": {"lake": lake.root}}
    drawn = 0
    for ran in execute(ROOT / "notebooks" / f"{name}.py", names):
        assert all(axis.has_data() for figure in ran.figures for axis in figure.axes), ran.cell.text
        drawn += len(ran.figures)
    assert drawn == figures


def test_rankings_are_judged_by_what_chance_has_shown(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A random log of the slice's own users and videos; their times are the only thing that was watched."""
    (path,) = SLICE.glob("log_standard*.csv")
    log = pd.read_csv(path)
    log = log[log["duration_ms"] > 0]
    random = np.random.default_rng(0)
    videos = log.drop_duplicates("video_id").head(60)[["video_id", "duration_ms"]]
    shown = pd.DataFrame({"user_id": np.repeat(log["user_id"].unique(), 10)})
    shown = shown.join(videos.iloc[random.integers(0, len(videos), len(shown))].reset_index(drop=True))
    shown = shown.assign(time_ms=1650600000000 + shown.index, is_click=1, play_time_ms=shown["duration_ms"] // 2)
    shown.to_csv(tmp_path / "log_random_4_22_to_5_08_sample.csv", index=False)
    command = ["offpolicy", *RUN[1:], "--lake", lake.root, "--quiet"]
    assert main([*command, "--set", f"offpolicy.source={tmp_path}", "--set", "offpolicy.others=20"]) == 0
    printed = capsys.readouterr().out
    lines = [line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line] for line in lines]
    assert [line[0] for line in table[2:]][:2] == ["chance (as logged)", "1) single_task, single_task"]
    assert len(table) == 3 + 4
    logged = float(table[2][1].split(" [")[0])
    assert logged == pytest.approx((shown["play_time_ms"] / 1000).mean(), abs=0.01)
    for line in table[3:]:
        replay, ips, snips = (float(cell.split(" [")[0]) for cell in line[1:4])
        assert min(replay, ips, snips) > logged, "it ranks by length too, and half of it is watched"
    assert main([*command, "--set", "offpolicy.others=20"]) == 1
    assert "no file called like log_random_4_22_to_5_08_27k.csv" in capsys.readouterr().err


def rows_of(spark: SparkSession, lake: Lake, table: str) -> pd.DataFrame:
    return spark.read.format("delta").load(lake.uri(table)).toPandas()


def latest(lake: Lake) -> tuple[str, Config]:
    run_id = storage.read_json(lake.uri("models", "latest.json"))["run_id"]
    return run_id, Config.model_validate(storage.read_json(lake.uri("models", run_id, "run.json"))["conf"])


@pytest.mark.slow
def test_a_third_task_has_the_samples_that_its_label_says(spark: SparkSession, further: tuple[Lake, str]) -> None:
    """Counted again by plain Python from silver."""
    lake, _ = further
    silver = rows_of(spark, lake, layout.SAMPLES)
    expected = {row.impression_id: float(row.cvr >= 0.95) for row in silver.dropna(subset="cvr").itertuples()}
    assert 100 < sum(expected.values()) < len(expected) - 100
    found = rows_of(spark, lake, "gold/finish_samples")
    assert len(found) == len(expected)
    assert dict(zip(found.impression_id, found.finish, strict=True)) == expected
    assert (found.clicked == 1).all()
    shown = rows_of(spark, lake, "gold/ctr_samples")
    labelled = shown[shown.finish.notna()]
    assert len(shown) == len(silver)
    assert dict(zip(labelled.impression_id, labelled.finish, strict=True)) == expected, "every table has all labels"


@pytest.mark.slow
def test_a_third_task_has_a_mask_of_its_own(further: tuple[Lake, str]) -> None:
    lake, _ = further
    run_id, conf = latest(lake)
    folder = lake.uri("models", run_id, "connection_share")
    masks = storage.read_json(storage.join(folder, "masks.json"))
    assert list(masks["rounds"]) == ["ctr", "cvr", "finish"]
    assert [one["round"] for one in masks["rounds"]["finish"]] == [0, 1]
    saved = torch.load(storage.join(folder, "model.pt"), weights_only=True)
    kept = {task: sum(float(one.sum()) for one in layers.values()) for task, layers in saved["masks"].items()}
    size = sum(one.numel() for one in saved["masks"]["finish"].values())
    assert kept["finish"] / size == pytest.approx(masks["density"]["finish"]["all"])
    control = lake.uri("models", run_id, conf.models["layer_share_theta"].key("layer_share_theta"))
    assert storage.read_json(storage.join(control, "masks.json"))["density"] == {}


@pytest.mark.slow
def test_a_third_task_is_predicted_and_compared(spark: SparkSession, further: tuple[Lake, str]) -> None:
    lake, printed = further
    run_id, conf = latest(lake)
    predictions = rows_of(spark, lake, layout.PREDICTIONS)
    mine, older = predictions[predictions.run_id == run_id], predictions[predictions.run_id != run_id]
    assert mine.pfinish.between(0, 1, inclusive="neither").all()
    assert len(older) > 0
    assert older.pfinish.isna().all(), "the run before had no such task"
    assert older.pctr.notna().all()
    figures = rows_of(spark, lake, layout.EVALUATIONS)
    rows = figures[(figures.run_id == run_id) & (figures.task == "finish")]
    assert set(zip(rows.model, rows.metric, strict=True)) == {
        (model, metric) for model in conf.train.models for metric in ("auc", "gauc", "ece")
    }
    labelled = rows_of(spark, lake, "gold/finish_samples").query("split == 'test'")
    for row in rows[rows.metric == "auc"].itertuples():
        assert row.ci_low < row.value < row.ci_high
        assert row.n == len(labelled)
        scored = mine[mine.model == row.model].merge(labelled[["impression_id", "finish"]], on="impression_id")
        assert row.value == pytest.approx(auc(scored.finish.to_numpy(), scored.pfinish.to_numpy()))
    header, _, *lines, report = printed.splitlines()
    assert header.index("CVR MSE") < header.index("CTR AUC") < header.index("FINISH AUC")
    assert [one.split()[0] for one in lines] == conf.train.models
    page = Path(report.removeprefix("report: ")).read_text()
    assert page.count("<svg") == 3 + 6 + (3 + 3 + 2 + 1) + (3 + 3 + 1 + 1) + 3 + 4 + 2 + 9
    assert "A control: in the end no task was given a mask." in page


@pytest.mark.slow
def test_a_label_that_the_samples_lack_is_one_line_and_changes_nothing(
    further: tuple[Lake, str], capfd: pytest.CaptureFixture[str]
) -> None:
    lake, _ = further
    before = tables(lake)
    wrong = "tasks.finish={label: cast(finished as float), loss: cross_entropy, metric: auc}"
    assert main(["encode", *RUN[1:], "--set", wrong, "--lake", lake.root]) == 1
    (text,) = capfd.readouterr().err.strip().splitlines()
    assert text.startswith(
        "ncs encode: tasks.finish.label: 'CAST(finished AS FLOAT)' names finished, silver/samples has"
    )
    assert tables(lake) == before
