"""Which model is in use: the rules of promotion, two at once, the way back. Without Spark."""

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from jobs.job import Job
from jobs.pipeline import promote
from jobs.pipeline.chosen import choose
from ncs.errors import ConfigError, DataError, GateError
from ncs.lake import layout, storage
from ncs.lake.layout import Lake
from ncs.lake.registry import CANDIDATE, CHAMPION, ModelRef, Registry
from tests.evaluation.factories import described
from tests.factories import toy_conf, write_toy_lake

CONF = toy_conf("promote.least_rows=200")
DAY = CONF.test_days.last
MODEL = "layer_share"
GOOD, BETTER, WORSE = (ModelRef(f"toy-{name}", MODEL) for name in ("good", "better", "worse"))
NOISE = {GOOD: 0.2, BETTER: 0.1, WORSE: 0.6}
"""How far each run's predictions lie from the labels' own probabilities."""


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with three runs that have predicted the test day."""
    lake = write_toy_lake(Lake.at(str(tmp_path_factory.mktemp("lake"))), CONF, rows=800)
    labels = DeltaTable(lake.uri("gold/ctr_samples")).to_pandas(partitions=[("day", "=", str(DAY))])
    for ref, noise in NOISE.items():
        storage.write_json(
            lake.uri("models", ref.run_id, "run.json"),
            described(run_id=ref.run_id, models=[MODEL], conf=CONF.model_dump()),
        )
        _predict(lake, ref, labels, noise)
    return lake


def _predict(lake: Lake, ref: ModelRef, labels: pd.DataFrame, noise: float) -> None:
    random = np.random.default_rng(1)
    frame = labels[["impression_id", "day"]].copy()
    for name, label in (("pctr", "clicked"), ("pcvr", "cvr")):
        values = labels[label].fillna(0.5)
        centre = 0.5 * values + 0.5 * values[labels[label].notna()].mean()
        frame[name] = np.clip(centre + noise * random.normal(size=len(frame)), 0.01, 0.99)
    frame = frame.assign(run_id=ref.run_id, model=ref.model)
    write_deltalake(
        lake.uri(layout.PREDICTIONS), pa.Table.from_pandas(frame, preserve_index=False), mode="append",
        partition_by=["run_id", "day"],
    )  # fmt: skip


@pytest.fixture
def job(scored: Lake) -> Iterator[Job]:
    """The lake with an empty registry."""
    yield Job(CONF, scored, CONF.logs.days, quiet=True)
    storage.remove(scored.uri(layout.REGISTRY))


def register(job: Job, ref: ModelRef) -> None:
    Registry.read(job.lake).append(CANDIDATE, "register", ref, "trained")


def test_a_better_candidate_becomes_the_champion(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    promote.run(job, str(GOOD))
    register(job, BETTER)
    promote.run(job)
    registry = Registry.read(job.lake)
    assert registry.current(CHAMPION) == registry.current(CANDIDATE) == BETTER
    assert choose(job.lake, "champion").ref == BETTER
    first, _, last = registry.entries
    assert (first.action, first.reference, last.action, last.reference) == ("promote", None, "promote", str(GOOD))
    assert last.day == DAY
    evidence = json.loads(last.evidence or "")
    assert evidence["ctr"]["low"] > 0 > evidence["cvr"]["high"], "AUC is higher, MSE lower"
    assert evidence["ctr"]["rows"] == 800
    assert evidence["ctr"]["difference"] == pytest.approx(evidence["ctr"]["value"] - evidence["ctr"]["reference"])
    assert "CTR AUC" in last.why
    capsys.readouterr()
    promote.run(job)
    assert len(Registry.read(job.lake).entries) == 3, "it is the champion already"
    promote.history(job)
    assert [line.split()[3:6] for line in capsys.readouterr().out.splitlines()[-2:]] == [
        ["candidate", "register", str(BETTER)],
        ["champion", "promote", str(BETTER)],
    ]


def test_a_worse_one_is_refused_with_its_figures_and_can_be_forced(job: Job) -> None:
    promote.run(job, str(GOOD))
    differs = r"CTR AUC differs from the champion's by -0\.\d+ \[-0\.\d+, -0\.\d+\]"
    with pytest.raises(promote.RefusedError, match=differs) as err:
        promote.run(job, str(WORSE))
    assert "CVR MSE differs" in str(err.value)
    assert [text.split(" differs")[0] for text in err.value.worse] == ["CTR AUC", "CVR MSE"]
    assert err.value.exit_code == 3
    with pytest.raises(promote.RefusedError, match=differs):
        promote.check(job, str(WORSE))
    promote.check(job, str(BETTER))
    assert Registry.read(job.lake).current(CHAMPION) == GOOD, "nothing is changed"
    promote.run(job, str(WORSE), force=True, why="a trial")
    entry = Registry.read(job.lake).entries[-1]
    assert (entry.action, entry.why) == ("force", "a trial")


def test_rules_name_their_figures(job: Job) -> None:
    few = Job(CONF.with_keys({"promote.least_rows": 100_000}), job.lake, job.days)
    with pytest.raises(GateError, match=r"CTR has 800 labelled rows, promote.least_rows is 100,000"):
        promote.run(few, str(GOOD))
    strict = Job(CONF.with_keys({"promote.max_calibration": 0.0}), job.lake, job.days)
    with pytest.raises(promote.RefusedError, match=r"CVR calibration is [+-]\d+\.\d%, promote.max_c.* is 0.0%") as err:
        promote.run(strict, str(GOOD))
    assert not err.value.worse, "another rule says nothing of the candidate beside the champion"
    with pytest.raises(ConfigError, match=r"promote.better names 'clicks'"):
        CONF.with_keys({"promote.better": ["clicks"]})


def test_the_champion_before_comes_back(job: Job) -> None:
    with pytest.raises(DataError, match="there is none yet"):
        promote.rollback(job)
    for ref in (GOOD, WORSE, BETTER):
        promote.run(job, str(ref), force=True)
    promote.rollback(job, "complaints")
    promote.rollback(job)
    registry = Registry.read(job.lake)
    assert registry.champions == [GOOD]
    assert [entry.action for entry in registry.entries[3:]] == ["rollback", "rollback"]
    assert registry.entries[3].why == "complaints"
    with pytest.raises(DataError, match="is the first one"):
        promote.rollback(job)


def test_of_two_promotions_at_once_one_fails(job: Job) -> None:
    fresh, other = Registry.read(job.lake), Registry.read(job.lake)
    fresh.append(CHAMPION, "force", GOOD, "first")
    with pytest.raises(DataError, match="another change of gold/models came between: toy-worse/layer_share was not"):
        other.append(CHAMPION, "force", WORSE, "second")
    late = Registry.read(job.lake)
    Registry.read(job.lake).append(CHAMPION, "force", BETTER, "third")
    with pytest.raises(DataError, match="came between"):
        late.append(CHAMPION, "rollback", GOOD, "fourth")
    assert [entry.why for entry in Registry.read(job.lake).entries] == ["first", "third"]


def test_names_that_mean_no_model(job: Job) -> None:
    for name, error, text in (
        ("champion", DataError, "has no champion yet"),
        ("layer_share", ConfigError, "write champion, candidate or RUN_ID/MODEL"),
        ("toy-good/mmoe", DataError, "has no model 'mmoe', it has layer_share"),
        ("toy-gone/mmoe", DataError, "no finished run 'toy-gone'"),
    ):
        with pytest.raises(error, match=text):
            choose(job.lake, name)


def test_a_candidate_without_predictions(job: Job) -> None:
    run_id = "toy-blank"
    path = job.lake.uri("models", run_id, "run.json")
    storage.write_json(path, described(run_id=run_id, models=[MODEL], conf=CONF.model_dump()))
    with pytest.raises(DataError, match="no day that toy-blank/layer_share has predicted"):
        promote.run(job, f"{run_id}/{MODEL}")
    promote.run(job, f"{run_id}/{MODEL}", force=True)
    assert Registry.read(job.lake).entries[-1].why.startswith("forced without figures: gold/predictions has no day")
