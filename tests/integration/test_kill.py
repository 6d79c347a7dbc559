"""SIGKILL in the middle of `ncs run`, then the same command again: the same tables as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from ncs.lake import layout
from ncs.lake.content import content
from ncs.lake.layout import Lake
from tests.factories import ROOT

SETTINGS = ["train.epochs=1", "prune.rounds=1", "train.threads=1", "logs.days=2022-04-08..2022-04-10", "days_at_once=1"]
COMMAND = [sys.executable, "-m", "jobs.cli", "run", "--conf", "tests/data/kuairand/slice.yaml", "--quiet"]
COMMAND += [part for setting in SETTINGS for part in ("--set", setting)]
TABLES = [layout.IMPRESSIONS, layout.PLAYS, layout.VIDEOS, layout.SAMPLES, layout.QUARANTINE, layout.VOCABULARY]
TABLES += ["gold/ctr_samples", "gold/cvr_samples", layout.PREDICTIONS, layout.EVALUATIONS]


def run(lake: Lake) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, "--lake", lake.root], cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True
    )


def kill_when(process: subprocess.Popen[bytes], path: Path) -> None:
    """Kill the process and all that it started, the JVM included, as soon as `path` is there."""
    while not path.exists() and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def contents(spark: SparkSession, lake: Lake) -> dict[str, dict[str, str]]:
    def table(name: str) -> DataFrame:
        return spark.read.format("delta").load(lake.uri(name))

    return {name: content(table(name), table(name).columns[0]) for name in TABLES}


@pytest.mark.slow
def test_killed_at_every_stage_it_ends_with_the_same_tables(spark: SparkSession, tmp_path: Path) -> None:
    undisturbed, killed = Lake.at(str(tmp_path / "undisturbed")), Lake.at(str(tmp_path / "killed"))
    assert run(undisturbed).wait() == 0
    for place in (
        "bronze/clicks/_delta_log/00000000000000000001.json",  # the second day has its clicks, not its plays
        "silver/quarantine/_delta_log/00000000000000000000.json",  # quarantined, no samples yet
        "gold/ctr_samples/_delta_log/00000000000000000001.json",
        "models",
        "gold/predictions/_delta_log",
    ):
        kill_when(run(killed), Path(killed.uri(place)))
    assert run(killed).wait() == 0
    assert contents(spark, killed) == contents(spark, undisturbed)
