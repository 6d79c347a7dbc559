"""Backfills of two processes at once, of the same and of different days, end where an undisturbed one does."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from jobs.cli import main
from ncs.lake import layout
from ncs.lake.content import content
from ncs.lake.layout import Lake
from tests.factories import ROOT

TABLES = (layout.SAMPLES, layout.QUARANTINE, "gold/ctr_samples", "gold/cvr_samples")
DAYS = "2022-04-08..2022-04-11"
SETTINGS = [f"logs.days={DAYS}", "logs.impressions=4000", "logs.synthetic.users=200", "logs.synthetic.videos=80"]
SETTINGS += ["spark.master=local[2]", "spark.driver.memory=1g"]


def command(stage: str, lake: Lake, *more: str) -> list[str]:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    return [stage, *more, "--conf", str(ROOT / "conf" / "demo.yaml"), *settings, "--lake", lake.root, "--quiet"]


def at_once(*calls: list[str]) -> None:
    """Run command lines as processes of their own, all at once."""
    run = "import sys; from jobs.cli import main; sys.exit(main(sys.argv[1:]))"
    processes = [
        subprocess.Popen([sys.executable, "-c", run, *call], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for call in calls
    ]
    for process in processes:
        _, errors = process.communicate(timeout=900)
        assert process.returncode == 0, errors


def found(spark: SparkSession, lake: Lake) -> dict[str, dict[str, str]]:
    """Table -> day -> what its rows say, repeated and missing ones included."""
    read = spark.read.format("delta")
    return {table: content(read.load(lake.uri(table)), "day") for table in TABLES}


@pytest.mark.slow
def test_two_backfills_at_once_end_in_right_tables(spark: SparkSession, tmp_path: Path) -> None:
    alone, shared = (Lake.at(str(tmp_path / name)) for name in ("alone", "shared"))
    assert main(command("generate", alone)) == 0
    shutil.copytree(alone.landing, shared.landing)
    assert main(command("backfill", alone, DAYS, "--parallel", "2")) == 0

    at_once(*[command("backfill", shared, DAYS)] * 2)
    assert found(spark, shared) == found(spark, alone)

    hours = ["--set", "labels.window_hours=1.0"]
    assert main([*command("backfill", alone, DAYS), *hours]) == 0
    halves = ("2022-04-08..2022-04-09", "2022-04-10..2022-04-11")
    at_once(*[[*command("backfill", shared, half), *hours] for half in halves])
    assert found(spark, shared) == found(spark, alone)
    before = {table: shared.version(table) for table in TABLES}
    assert main([*command("backfill", shared, DAYS), *hours]) == 0
    assert {table: shared.version(table) for table in TABLES} == before, "nothing was stale"
