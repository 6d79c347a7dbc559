"""A run's folder: complete, resumable at every round and epoch, the same whenever it was interrupted."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from ncs.config.earlier import LATER
from ncs.errors import TrainingError
from ncs.lake import storage
from ncs.lake.layout import Lake
from ncs.metrics import auc
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from tests.factories import toy_conf, toy_rows, write_toy_lake
from tests.training.faults import killed, same, saved_state, trained


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    lake = Lake.at(str(tmp_path_factory.mktemp("undisturbed")))
    conf = toy_conf()
    return trained(write_toy_lake(lake, conf), conf)


def test_every_model_learns_and_leaves_its_model(undisturbed: Run) -> None:
    conf = undisturbed.conf
    ids, clicked, cvr = toy_rows(4000, seed=99)
    labelled = ~np.isnan(cvr)
    for model in conf.train.models:
        predicted = Predictor.load(undisturbed.folder, model, conf, field_sizes(undisturbed)).predict(ids)
        assert auc(clicked, predicted["ctr"]) > 0.6
        assert np.mean((predicted["cvr"][labelled] - cvr[labelled]) ** 2) < np.var(cvr[labelled])
        assert all(((values > 0) & (values < 1)).all() for values in predicted.values())
    assert undisturbed.pending() == []
    assert not [name for name in storage.files(undisturbed.folder) if "checkpoint" in name or "best" in name]


def test_the_masks_of_all_rounds_are_described(undisturbed: Run) -> None:
    masks = storage.read_json(storage.join(undisturbed.folder, "connection_share", "masks.json"))
    for task in ("ctr", "cvr"):
        densities = [one["density"]["all"] for one in masks["rounds"][task]]
        assert densities == pytest.approx([1.0, 0.7, 0.49], abs=0.01)
        scores = [one["validation"] for one in masks["rounds"][task]]
        best = max(scores) if task == "ctr" else min(scores)
        assert scores[masks["chosen"][task]] == best
    assert masks["overlap"][0]["jaccard"]["all"] == 1.0
    assert masks["overlap"][2]["jaccard"]["all"] < 1.0
    final = masks["chosen_overlap"]
    density = masks["rounds"]["ctr"][masks["chosen"]["ctr"]]["density"]["hidden.0"]
    assert final["shared"]["hidden.0"] + final["ctr_only"]["hidden.0"] == pytest.approx(density)


def test_metrics_hold_each_epoch_of_each_phase_once(undisturbed: Run) -> None:
    path = Path(undisturbed.folder, "connection_share", "metrics.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    keys = [(line["phase"], line["task"], line["round"], line["epoch"]) for line in lines]
    assert len(set(keys)) == len(keys)
    assert keys[0] == ("theta", None, None, 1)
    assert [key for key in keys if key[0] == "search"] == [
        ("search", task, i, 1) for task in ("ctr", "cvr") for i in range(3)
    ]
    samples = {line["samples"] for line in lines if line["task"] == "ctr"}
    assert len(samples) == 1, "an epoch is every row once"


def test_the_same_seed_and_samples_give_the_same_bits(undisturbed: Run, lake: Lake) -> None:
    again = trained(write_toy_lake(lake, undisturbed.conf), undisturbed.conf)
    assert again.run_id == undisturbed.run_id
    for model in undisturbed.conf.train.models:
        assert same(saved_state(again, model), saved_state(undisturbed, model)), model


@pytest.mark.fault(ends="goes on")
@pytest.mark.parametrize("after", [1, 2, 4, 7, 8, 9])
def test_interrupted_after_any_artefact_it_ends_the_same(undisturbed: Run, lake: Lake, after: int) -> None:
    """Theta, the six rounds, the joint epochs: stop after the n-th file that was written, then start again."""
    conf = undisturbed.conf.model_copy(
        update={"train": undisturbed.conf.train.model_copy(update={"models": ["connection_share"]})}
    )
    write_toy_lake(lake, conf)
    saved = itertools.count(1)
    killed(lake, conf, lambda *_: next(saved) == after)
    assert same(saved_state(trained(lake, conf), "connection_share"), saved_state(undisturbed, "connection_share"))


@pytest.mark.fault(ends="goes on")
def test_a_killed_process_goes_on_with_the_same_command(undisturbed: Run, lake: Lake, tmp_path: Path) -> None:
    conf = undisturbed.conf
    write_toy_lake(lake, conf)
    path = tmp_path / "conf.yaml"
    path.write_text(yaml.safe_dump(conf.model_dump(), sort_keys=False))
    command = [sys.executable, "-m", "jobs.train", "--conf", str(path), "--lake", lake.root, "--quiet"]
    process = subprocess.Popen(command)
    models = Path(Run.of(conf, lake).folder)
    while not list(models.glob("search-*/theta.pt")) and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert subprocess.run(command).returncode == 0
    run = Run.of(conf, lake)
    assert storage.read_json(lake.uri("models", "latest.json")) == {"run_id": run.run_id}
    for model in conf.train.models:
        assert same(saved_state(run, model), saved_state(undisturbed, model)), model


def test_another_configuration_or_other_rows_are_another_run(undisturbed: Run, lake: Lake) -> None:
    conf = undisturbed.conf
    other = toy_conf("prune.rate=0.5")
    assert Run.of(other, undisturbed.lake).run_id != undisturbed.run_id
    reordered = conf.with_keys({"fields": dict(reversed(conf.model_dump()["fields"].items()))})
    assert Run.of(reordered, undisturbed.lake).run_id != undisturbed.run_id
    assert Run.of(toy_conf("train.models=layer_share"), undisturbed.lake).run_id == undisturbed.run_id
    assert Run.of(conf, write_toy_lake(lake, conf, rows=1100)).run_id != undisturbed.run_id


def test_a_key_that_came_later_leaves_the_id_at_its_default(undisturbed: Run) -> None:
    assert undisturbed.run_id == "toy-54cbb1422097", "as of the version before `ncs.config.earlier`"
    for key, default in LATER.items():
        words = {"train.order": "alternate", "net.blend": "single_task", "prune.granularity": "input"}
        value = words[key] if key in words else {bool: "false", int: 2, float: 0.5}[type(default)]
        assert Run.of(toy_conf(f"{key}={default}".lower()), undisturbed.lake).run_id == undisturbed.run_id
        assert Run.of(toy_conf(f"{key}={value}"), undisturbed.lake).run_id != undisturbed.run_id, key


def test_days_after_the_training_days_leave_the_run_what_it_is(undisturbed: Run, lake: Lake) -> None:
    conf = undisturbed.conf
    write_toy_lake(lake, conf, last_day_rows=900)
    assert Run.of(conf, lake).run_id == undisturbed.run_id


def test_auc_counts_ties_half() -> None:
    labels = np.array([1, 0, 1, 0, 0], dtype=np.float32)
    scores = np.array([0.8, 0.8, 0.3, 0.1, 0.3])
    pairs = [
        (p, n)
        for p, pl in zip(scores, labels, strict=True)
        if pl
        for n, nl in zip(scores, labels, strict=True)
        if not nl
    ]
    assert auc(labels, scores) == np.mean([(p > n) + 0.5 * (p == n) for p, n in pairs])
    with pytest.raises(TrainingError, match="rows of both kinds"):
        auc(np.ones(3), scores[:3])
