"""The documented command on nine real days of KuaiRand-Pure: official files in, a comparison out."""

import re
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.cli import main
from ncs.lake import layout
from ncs.lake.layout import Lake
from tests.factories import ROOT


@pytest.mark.slow
def test_the_documented_command_compares_models_on_nine_real_days(
    spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["run", "--conf", "conf/kuairand.yaml", "--lake", lake.root, "--set", "train.threads=1"]) == 0
    printed = capsys.readouterr().out
    figures = dict(re.findall(r"^(\w+) +(0\.\d+) ", printed, re.MULTILINE))
    assert set(figures) == {"single_task", "layer_share", "connection_share", "gbdt", "layer_share_gbdt"}
    assert all(0.09 < float(mse) < 0.11 for mse in figures.values())  # the best constant has 0.145
    aucs = [float(auc) for auc in re.findall(r" (0\.7\d+) ", printed)]
    assert len(aucs) >= 3
    assert sum(lake.rows_by_day(layout.IMPRESSIONS).values()) == 153_930
    files = [path for table in ("ctr", "cvr") for path in Path(lake.uri(f"gold/{table}_samples")).rglob("*.parquet")]
    assert len(files) < 200
