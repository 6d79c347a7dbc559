"""`ncs compare` on a toy lake: resumed run by run, appended once, equal tries for every model."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from jobs.cli import main
from jobs.job import Job
from jobs.pipeline import compare
from ncs.config import Config
from ncs.errors import ConfigError
from ncs.lake import layout
from ncs.lake.documents import Facts
from ncs.lake.layout import Lake
from ncs.runs.run import Run
from ncs.runs.tuning import tries, tune
from tests.factories import toy_conf, write_toy_lake
from tests.lake.assertions import matches_declaration
from tests.training.faults import rewrite

MODELS = "single_task,connection_share,random_masks,layer_share_theta"


@pytest.fixture
def ncs(lake: Lake, tmp_path: Path) -> Callable[..., int]:
    conf = toy_conf("logs.source=nowhere", "train.epochs=1")
    write_toy_lake(lake, conf)
    path = tmp_path / "conf.yaml"
    path.write_text(yaml.safe_dump(conf.model_dump(), sort_keys=False))

    def call(stage: str, *arguments: str) -> int:
        return main([stage, "--conf", str(path), "--lake", lake.root, *arguments])

    return call


def rows(lake: Lake, table: str, *columns: str) -> list[dict]:
    return lake.read(table, lake.version(table), list(columns)).to_pylist()


def test_a_comparison_is_trained_once_and_kept_once(
    ncs: Callable[..., int], lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ncs("compare", "--models", MODELS, "--seeds", "2") == 0
    first = capsys.readouterr()
    assert [line.split("|")[1].strip() for line in first.out.splitlines()[2:6]] == MODELS.split(",")
    said = first.out.splitlines()[6:]
    assert [line.partition(":")[0] for line in said if line[:1].strip()] == [
        "Smallest true difference that is settled four times in five, among all (in brackets",
        "Stopped by train.epochs while validation still got better, so that more epochs may change their figures",
        "verdict",
        "how sure",
        "next",
        "comparison",
    ]
    page = Path(said[-1].removeprefix("comparison: "))
    (headline,) = (line.removeprefix("verdict: ") for line in said if line.startswith("verdict: "))
    assert headline in page.read_text()
    assert f"{page.parent.name}/comparison.html" in (page.parent.parent / "index.html").read_text()
    searches = list(Path(lake.root).glob("models/*/search-*"))
    assert len(searches) == 2, "one search a seed, for all models that share it"
    kept = rows(lake, layout.COMPARISONS, "comparison_id", "model", "seed", "task", "value", "density", "run_id")
    assert len(kept) == 2 * 4 * 2
    assert {row["seed"] for row in kept} == {7, 8}
    seen = rows(lake, layout.COMPARISONS, "model", "epochs", "capped")
    of_theta = {row["model"] for row in seen if row["epochs"] == 2.0}
    assert of_theta == {"connection_share", "random_masks", "layer_share_theta"}, "theta's epoch and one more"
    assert all(row["epochs"] == 1.0 for row in seen if row["model"] == "single_task")
    assert all(row["capped"] for row in seen)
    density = {row["model"]: row["density"] for row in kept}
    assert density["random_masks"] == pytest.approx(density["connection_share"])
    assert density["layer_share_theta"] == 1.0

    assert ncs("compare", "--models", MODELS, "--seeds", "2") == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert "train:" not in again.err
    assert len(rows(lake, layout.COMPARISONS, "seed")) == len(kept), "the same comparison is not kept twice"

    assert ncs("compare", "--models", MODELS, "--seeds", "3") == 0
    assert capsys.readouterr().err.count("train:") == 4, "the third seed alone"
    after = rows(lake, layout.COMPARISONS, "comparison_id", "model", "seed", "task", "value", "density", "run_id")
    assert all(row in after for row in kept), "nothing overwrites what was found before"
    assert len({row["comparison_id"] for row in after}) == 2
    found = rows(lake, layout.DIFFERENCES, "low", "difference", "high", "p", "p_holm", "smallest", "smallest_holm")
    assert all(row["low"] < row["difference"] < row["high"] for row in found)
    assert all(0 < row["p"] <= row["p_holm"] <= 1 for row in found)
    assert all(0 < row["smallest"] < row["smallest_holm"] for row in found)
    assert all(matches_declaration(lake, name) for name in (layout.COMPARISONS, layout.DIFFERENCES))
    assert not (Path(lake.root) / "models" / "latest.json").exists(), "predict goes on with what `ncs train` trained"


def test_days_encoded_anew_meanwhile_are_not_compared(
    ncs: Callable[..., int], lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("--models", "single_task", "--seeds", "2")
    assert ncs("compare", *asked) == 0
    undisturbed = capsys.readouterr().out.splitlines()[:3]
    other = write_toy_lake(Lake.at(lake.root + "-other"), toy_conf())
    complete = compare.complete

    def then_rewrite(job: Job, run: Run) -> None:
        complete(job, run)
        rewrite(other)

    monkeypatch.setattr(compare, "complete", then_rewrite)
    assert ncs("compare", *asked, "--lake", other.root) == 0
    assert capsys.readouterr().out.splitlines()[:3] == undisturbed


def test_a_sweep_draws_what_it_compares(
    ncs: Callable[..., int], lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--key", "net.hidden", "--values", "[[8], [16, 8]]", "--models", "layer_share,full_share"]
    assert ncs("sweep", *arguments, "--seeds", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [[cell.strip() for cell in line.split("|")[1:3]] for line in lines[2:6]] == [
        [width, model] for width in ("[8]", "[16, 8]") for model in ("layer_share", "full_share")
    ]
    folder = Path(lines[-1].removeprefix("sweep: ")).parent
    assert (folder / "sweep.md").read_text().splitlines() == lines[:-2]
    assert lines[-2].startswith("verdict: ")
    for score in ("ctr_auc", "cvr_mse"):
        picture = (folder / f"{score}.svg").read_text()
        wanted = ("net.hidden", "[16, 8]", "full_share", "from layer_share, better")
        assert [word for word in wanted if word not in picture] == []
    assert len({row["run_id"] for row in rows(lake, layout.COMPARISONS, "run_id")}) == 4
    assert ncs("sweep", "--key", "net.hidden", "--values", "3") == 2
    assert "--values: a YAML list" in capsys.readouterr().err
    assert ncs("sweep", "--key", "net.hiden", "--values", "[3]") == 2
    assert "net.hiden is no key" in capsys.readouterr().err


def test_many_test_rows_are_thinned(ncs: Callable[..., int], lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    values = []
    for limit in (600, 100_000):
        assert ncs("compare", "--models", "full_share", "--seeds", "1", "--set", f"compare.rows={limit}") == 0
        values.append(capsys.readouterr().out.splitlines()[2].split("|")[2])
    assert values[0] != values[1], "600 of the 1200 rows were compared on"
    assert float(values[0]) == pytest.approx(float(values[1]), rel=0.2)


def test_every_model_gets_the_same_tries() -> None:
    space = "compare.space={train.learning_rate: [0.001, 0.01], train.weight_decay: [0.0, 0.1]}"
    conf = toy_conf("compare.tries=3", space, "train.models=[single_task, layer_share_theta]")
    candidates = tries(conf, "single_task")
    assert tries(conf, "layer_share_theta") == candidates
    assert candidates[0] == {}
    assert len(candidates) == 3
    assert candidates[1] != candidates[2]
    many = toy_conf("compare.tries=99", space)
    assert len(tries(many, "single_task")) == 5, "all of a small space, then no more"
    seen: list[Config] = []

    class Trained:
        def __init__(self, conf: Config) -> None:
            seen.append(conf)

        def facts(self, name: str) -> dict[str, float]:
            skill = [0.1, 0.3, 0.2][len(seen) - 1] if name == "single_task" else 1.0 / len(seen)
            return Facts(skill=skill, seconds=1.0, parameters=1, density=1.0)

    chosen = tune(conf, Trained)  # type: ignore[arg-type]
    assert chosen.models["single_task"].set == candidates[1]
    assert chosen.models["layer_share_theta"] == conf.models["layer_share_theta"], "the first try was best"
    assert {one.train.seed for one in seen} == {seen[0].train.seed} != {conf.train.seed}
    for one, overrides in zip(seen, candidates, strict=True):
        for name in conf.train.models:
            for key, value in overrides.items():
                assert one.for_model(name).part(key)[key] == value


def test_a_model_with_a_space_of_its_own_draws_as_many_tries_from_it() -> None:
    space = "compare.space={train.learning_rate: [0.001, 0.01]}"
    conf = toy_conf("compare.tries=4", space, "train.models=[layer_share, gbdt]")
    own = tries(conf, "gbdt")
    assert len(own) == 4
    assert all(key.startswith("net.gbdt.") for overrides in own for key in overrides)
    seen: list[Config] = []

    class Trained:
        def __init__(self, conf: Config) -> None:
            seen.append(conf)

        def facts(self, name: str) -> Facts:
            return Facts(skill=float(len(seen)), seconds=1.0, parameters=1, density=1.0)  # the last is best

    chosen = tune(conf, Trained)  # type: ignore[arg-type]
    assert chosen.models["gbdt"].set == own[3]
    assert chosen.models["layer_share"].set == tries(conf, "layer_share")[2], "its space has two points alone"
    assert chosen.models["gbdt"].space == conf.models["gbdt"].space


def test_a_model_that_is_not_in_the_catalogue(ncs: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert ncs("compare", "--models", "nobody") == 2
    assert "compare.models: no model is called 'nobody'; there are single_task" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{module: nobody}", "models.x.module: ncs.models has no module 'nobody'"),
        ("{}", "models.x.module is missing"),
        ("{module: mask, set: {logs.seed: 3}}", "models.x"),
        ("{module: single_task, set: {logs.seed: 3}}", "'logs.seed' is not of a model alone"),
        ("{module: single_task, set: {train.seed: 3}}", "'train.seed' is the same for all models"),
        ("{module: single_task, set: {net.width: 3}}", "models.x.set: net.width is no key"),
        ("{module: connection_share, set: {share.masks: both}}", "share.masks: own, swapped"),
    ],
)
def test_entries_of_the_catalogue_are_checked(entry: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        toy_conf(f"models.x={entry}")
