"""The leaderboards that are kept: what a model scores today is what stands there."""

import json
from pathlib import Path

import pyarrow  # noqa: F401  (before torch: the other order has crashed)
import pytest
from pyspark.sql import SparkSession

from bench.leaderboard import DOCS, KEPT, checksum, page, read
from jobs.cli import main
from jobs.job import Job
from jobs.pipeline.compare import compare
from ncs import config
from ncs.lake.layout import Lake
from ncs.runs.run import Run
from tests.factories import ROOT

BOARDS = sorted(KEPT.glob("*.json"))
MODEL = "layer_share"


def test_the_page_is_made_of_what_is_kept() -> None:
    assert (DOCS / "leaderboard.md").read_text() == page([read(path) for path in BOARDS])


@pytest.mark.slow
@pytest.mark.parametrize("board", BOARDS, ids=lambda path: path.stem)
def test_no_change_has_moved_the_figures(
    spark: SparkSession, board: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    kept, conf = read(board), ROOT / "conf" / f"{board.stem}.yaml"
    settings = [f"compare.models=[{MODEL}]", "compare.seeds=1"]
    loaded = config.load(conf, settings)
    assert checksum(loaded) == kept["logs"]
    assert main(["run", "--conf", str(conf), "--lake", lake.root, "--set", f"train.models=[{MODEL}]"]) == 0
    found = compare(Job(loaded, lake, loaded.logs.days, quiet=True), Run.of(loaded, lake).versions)
    for one in found.judged:
        figure = kept["figures"][MODEL][f"{one.task.name} {one.metric.name}"]
        near = pytest.approx(figure["by_seed"][0], abs=figure["tolerance"])
        assert one.figures.mean(MODEL).value == near, json.dumps(figure)
