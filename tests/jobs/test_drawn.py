"""Test rows that are drawn from a synthetic world: encoded as logged ones are, held against the world's truth."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.cli import main
from jobs.job import Job
from jobs.pipeline.encode import earlier
from ncs.config import Config
from ncs.features.encoding import encode_days
from ncs.lake import layout
from ncs.lake.layout import Lake
from ncs.tasks import named_tasks
from tests.lake.assertions import matches_declaration

SETTINGS = (
    "logs.impressions=3000",
    "logs.days=2022-04-08..2022-04-11",
    "logs.synthetic.users=150",
    "logs.synthetic.videos=60",
    "net.hidden=[8]",
    "train.epochs=1",
    "train.refit=false",
    "compare.test_rows=2000",
    "statistics=[{by: [user_id], lag_hours: 1}, {by: [video_id], days: 2}]",
    "history={clicked: {of: [video_id], where: clicked, last: 5, days: 3}, "
    "late: {of: [author_id], where: shown, last: 3, lag_hours: 2}}",
)
Ncs = Callable[..., int]


@pytest.fixture(scope="module")
def world(spark: SparkSession, load_conf: Callable[..., Config], tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A small world's logs, encoded."""
    folder = tmp_path_factory.mktemp("world")
    conf = load_conf(*SETTINGS)
    (folder / "conf.yaml").write_text(yaml.safe_dump(conf.model_dump(), sort_keys=False))
    for stage in ("generate", "ingest", "label", "encode"):
        assert main([stage, "--conf", str(folder / "conf.yaml"), "--lake", str(folder / "lake"), "--quiet"]) == 0
    return Job(conf, Lake.at(str(folder / "lake")), conf.logs.days, quiet=True)


@pytest.fixture
def ncs(world: Job) -> Ncs:
    def call(stage: str, *arguments: str) -> int:
        path = Path(world.lake.root).parent / "conf.yaml"
        return main([stage, "--conf", str(path), "--lake", world.lake.root, *arguments])

    return call


@pytest.mark.slow
def test_rows_that_are_none_of_the_logs_look_back_as_those_do(world: Job) -> None:
    """The test day's own rows, encoded as if they had been drawn, are what is encoded of them."""
    conf, day = world.conf, world.conf.test_days.first
    samples = world.read(layout.SAMPLES).where(F.col("day") == day)
    vocabulary = world.read(layout.VOCABULARY)
    looked = earlier(world, [day], drawn=True).join(samples, vocabulary)
    found = encode_days(looked, vocabulary, conf.features, conf.split, conf.encode, None, named_tasks(conf)).toPandas()
    expected = world.read("gold/ctr_samples").where(F.col("day") == day).toPandas()
    found, expected = (rows.sort_values("impression_id").reset_index(drop=True) for rows in (found, expected))
    assert len(found) > 700
    assert any(ids[0] > 0 for ids in found["clicked_video_id"]), "there are histories"
    for name in conf.features:
        assert [np.array_equal(*pair, equal_nan=True) for pair in zip(found[name], expected[name], strict=True)] == [
            True
        ] * len(found), name


@pytest.mark.slow
def test_models_are_held_against_the_truth(ncs: Ncs, world: Job, capsys: pytest.CaptureFixture[str]) -> None:
    lake, asked = world.lake, ("--models", "layer_share,full_share", "--seeds", "2")
    assert ncs("compare", *asked) == 0
    first = capsys.readouterr().out
    tables = [line for line in first.splitlines() if line.startswith("| model")]
    assert ["CVR MSE" in tables[0], "CVR excess error" in tables[1], "CTR cross entropy" in tables[1]] == [True] * 3
    assert "over 2 training seeds and 2,000 test impressions" in first

    rows = world.read(layout.DRAWN_ROWS).toPandas()
    assert len(rows) == rows["impression_id"].nunique() == 2000
    logged = lake.read(layout.SAMPLES, lake.version(layout.SAMPLES), ["impression_id"]).to_pandas()
    assert not set(rows["impression_id"]) & set(logged["impression_id"])
    assert rows["clicked"].mean() == pytest.approx(rows["click_probability"].mean(), abs=0.03)
    labelled = rows[~np.isnan(rows["cvr"])]
    assert labelled["cvr"].mean() == pytest.approx(labelled["expected_cvr"].mean(), abs=0.03)
    assert matches_declaration(lake, layout.DRAWN_ROWS)

    kept = world.read(layout.COMPARISONS).toPandas()
    value = kept.set_index(["model", "seed", "metric"])["value"]
    assert set(kept["metric"]) == {"auc", "mse", "excess_error", "cross_entropy"}
    for model in ("layer_share", "full_share"):
        unexplained = value[model, 7, "mse"] - value[model, 7, "excess_error"]
        error = (labelled["cvr"] - labelled["expected_cvr"]) ** 2
        assert unexplained == pytest.approx(error.mean(), abs=0.01), "what no model can know"
        entropy = -np.log(np.where(rows["clicked"] == 1, rows["click_probability"], 1 - rows["click_probability"]))
        assert value[model, 7, "cross_entropy"] > entropy.mean() - 0.02

    version = lake.version(layout.DRAWN_ROWS)
    assert ncs("compare", *asked) == 0
    assert capsys.readouterr().out == first
    assert lake.version(layout.DRAWN_ROWS) == version, "drawn once"
    assert ncs("compare", *asked, "--set", "compare.test_rows=0") == 0
    logged_only = capsys.readouterr().out
    assert "excess error" not in logged_only
    assert "over 2 training seeds and 750 test impressions" in logged_only


def test_a_world_is_compared_over_more_seeds_than_real_logs(load_conf: Callable[..., Config]) -> None:
    seeds = [load_conf(*more).comparison_seeds for more in ([], ["logs.source=x"], ["compare.seeds=3"])]
    assert seeds == [20, 5, 3]
