"""A day after the other: judged by those trained before it, then trained on; a second call does nothing."""

import json
import time
from pathlib import Path

import pytest

from jobs.cli import main
from ncs.lake import layout
from ncs.lake.layout import Lake
from ncs.lake.registry import CANDIDATE, CHAMPION, Registry
from ncs.training.store import Store
from tests.factories import ROOT
from tests.training.faults import KilledError

SETTINGS = [
    "logs.days=2022-04-08..2022-04-11",
    "logs.impressions=6000",
    "logs.synthetic.users=200",
    "logs.synthetic.videos=80",
    "window.train=3",
    "train.models=layer_share",
    "train.epochs=2",
    "train.threads=1",
    "promote={margin: 0.5, better: [], max_calibration: 0.9, least_rows: 100}",
    "spark.master=local[2]",
    "spark.driver.memory=1g",
]


def daily(lake: Lake, days: str, *more: str) -> int:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    return main(
        ["daily", "--conf", str(ROOT / "conf" / "demo.yaml"), *settings, "--lake", lake.root, "--days", days, *more]
    )


def progress(lake: Lake, day: str) -> set[tuple[str, str]]:
    """Whose figures of a day there are, and the last day that each was trained on."""
    version = lake.version(layout.PROGRESS)
    rows = lake.read(layout.PROGRESS, version, ["run_id", "trained_until"], [("day", "=", day)]).to_pylist()
    return {(row["run_id"], str(row["trained_until"])) for row in rows}


def killed(lake: Lake, days: str) -> None:
    """A call that dies when the model is to be written."""

    def die(self: Store, name: str, value: dict) -> None:
        raise KilledError(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "save", die)
        assert daily(lake, days, "--quiet") == 1


@pytest.mark.slow
def test_each_day_is_scored_and_then_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lake = Lake.at(str(tmp_path / "lake"))
    assert daily(lake, "2022-04-08..2022-04-09") == 0
    registry = Registry.read(lake)
    assert [(entry.action, str(entry.day)) for entry in registry.entries] == [("register", "2022-04-09")]
    assert not lake.has(layout.PREDICTIONS), "nobody was there to predict it"
    first = registry.current(CANDIDATE)
    vocabulary = lake.records(layout.VOCABULARY)[layout.ALL][1].facts

    killed(lake, "2022-04-10")
    before = [(entry.action, str(entry.day)) for entry in Registry.read(lake).entries]
    assert before[1:] == [("promote", "2022-04-10")], "the candidate was judged on a day that it had not seen"
    assert Registry.read(lake).current(CHAMPION) == first
    assert first is not None
    assert progress(lake, "2022-04-10") == {(first.run_id, "2022-04-09")}
    assert daily(lake, "2022-04-10") == 0
    entries = Registry.read(lake).entries
    assert [(entry.action, str(entry.day)) for entry in entries[2:]] == [("register", "2022-04-10")]
    grown = lake.records(layout.VOCABULARY)[layout.ALL][1].facts
    assert grown["lineage"] == vocabulary["lineage"]
    encoded = lake.records("gold/ctr_samples")
    versions = [encoded[f"2022-04-{day:02d}"][1].provenance["inputs"][layout.VOCABULARY] for day in (8, 9, 10)]
    assert versions[0] < versions[2], "a new day encodes that day alone"

    second = Registry.read(lake).current(CANDIDATE)
    assert second is not None
    assert daily(lake, "2022-04-11") == 0
    assert progress(lake, "2022-04-11") == {(first.run_id, "2022-04-09"), (second.run_id, "2022-04-10")}
    promoted = Registry.read(lake).entries[-2]
    assert (promoted.action, promoted.run_id, promoted.reference) == ("promote", second.run_id, str(first))
    evidence = json.loads(promoted.evidence or "")
    assert evidence["ctr"]["low"] <= evidence["ctr"]["difference"] <= evidence["ctr"]["high"]

    capsys.readouterr()
    versions = {table: lake.version(table) for table in (layout.PREDICTIONS, layout.PROGRESS, layout.REGISTRY)}
    started = time.monotonic()
    assert daily(lake, "2022-04-09..2022-04-11") == 0
    assert time.monotonic() - started < 10
    assert {table: lake.version(table) for table in versions} == versions
    assert capsys.readouterr().err.count("is done") == 3
