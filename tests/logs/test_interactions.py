"""Planted worlds do what they say: combinations alone decide, alike for both tasks, apart, or against each other."""

from collections.abc import Callable

import numpy as np
import pytest
from pyspark.sql import SparkSession

from jobs.cli import main
from ncs.config import Config
from ncs.errors import ConfigError
from ncs.lake import layout
from ncs.lake.layout import Lake
from ncs.logs.synthetic import draw_samples
from ncs.logs.world import World
from tests.factories import ROOT

ROWS = np.arange(30_000)
LoadConf = Callable[..., Config]


def planted(load_conf: LoadConf, kinds: str, *more: str) -> World:
    return World(load_conf(f"logs.synthetic.interactions={{{kinds}, values: 4}}", "logs.impressions=30000", *more).logs)


def correlation(world: World) -> float:
    return float(np.corrcoef(*world.logits(world.impressions(ROWS)))[0, 1])


def test_common_pairs_act_alike_and_others_apart(load_conf: LoadConf) -> None:
    assert correlation(planted(load_conf, "common: 3, conflicting: 0, own: 0")) == pytest.approx(1)
    assert abs(correlation(planted(load_conf, "common: 0, conflicting: 0, own: 3"))) < 0.03
    mixed = correlation(planted(load_conf, "common: 2, conflicting: 2, own: 0"))
    assert 0.1 < mixed < 0.9


def test_conflicting_pairs_are_of_the_same_columns_and_own_ones_are_not(load_conf: LoadConf) -> None:
    """How much of each task's variance the combinations of a pair of columns explain."""
    explained = {}
    for conflicting in (1, 0):
        world = planted(load_conf, f"common: 0, conflicting: {conflicting}, own: {1 - conflicting}")
        shown = world.impressions(ROWS)
        code = shown["context_1"] * 9 + shown["context_2"]
        for task, logit in zip(("click", "watch"), world.logits(shown), strict=True):
            means = {value: logit[code == value].mean() for value in np.unique(code)}
            explained[conflicting, task] = np.var([means[value] for value in code]) / logit.var()
    assert explained == pytest.approx({(1, "click"): 1, (1, "watch"): 1, (0, "click"): 1, (0, "watch"): 0}, abs=0.01)


def test_no_column_says_anything_by_itself(load_conf: LoadConf) -> None:
    world = planted(load_conf, "common: 2, conflicting: 1, own: 1")
    shown = world.impressions(ROWS)
    assert world.context == tuple(f"context_{n}" for n in range(1, 11))
    for logit in world.logits(shown):
        for name in world.context:
            means = [logit[shown[name] == value].mean() for value in range(1, 5)]
            assert max(means) - min(means) < 0.15 * logit.std(), name


def test_rates_are_those_that_are_asked_for(load_conf: LoadConf) -> None:
    world = planted(load_conf, "common: 4, conflicting: 2, own: 0", "logs.synthetic.click_rate=0.05")
    shown = world.impressions(ROWS)
    clicked = world.responses(ROWS, shown)["clicked"]
    assert clicked.mean() == pytest.approx(0.05, abs=0.006)
    assert world.expected_cvr(shown)[clicked].mean() == pytest.approx(0.5, abs=0.03)


def test_the_columns_are_in_the_logs(spark: SparkSession, load_conf: LoadConf) -> None:
    logs = load_conf("logs.impressions=1000", name="planted").logs
    row = draw_samples(spark, logs, logs.days.last, 5).first()
    assert row is not None
    assert {f"context_{n}" for n in range(1, 17)} <= set(row.asDict())


def test_logs_without_a_planted_world_are_known_as_before(load_conf: LoadConf) -> None:
    assert "interactions" not in load_conf().part("logs")["logs"]["synthetic"]
    with pytest.raises(ConfigError, match="name a pair at least"):
        planted(load_conf, "common: 0, conflicting: 0, own: 0")


@pytest.mark.slow
@pytest.mark.parametrize(("world", "wins"), [("planted", True), ("planted_apart", None)])
def test_the_instrument_sees_what_sharing_gives(spark: SparkSession, lake: Lake, world: str, wins: bool | None) -> None:
    """Towers under the same masks lack the sharing, and nothing else."""
    conf = ["--conf", str(ROOT / "conf" / f"{world}.yaml"), "--lake", lake.root, "--quiet"]
    for stage in ("generate", "ingest", "label", "encode"):
        assert main([stage, *conf]) == 0
    models = ["--models", "connection_share,layer_share_pruned", "--set", "compare.references=[layer_share_pruned]"]
    assert main(["compare", *conf, *models, "--seeds", "3"]) == 0
    rows = lake.read(layout.DIFFERENCES, lake.version(layout.DIFFERENCES), ["model", "metric", "better"])
    better = {(row["model"], row["metric"]): row["better"] for row in rows.to_pylist()}
    assert better["connection_share", "excess_error"] is wins
