"""Which weights a model ends with: each task's of its own best epoch, and after a refit those of all training days."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ncs.config import Config
from ncs.data_loading import Features, TableLoader
from ncs.lake.layout import Lake
from ncs.models import build
from ncs.nets.model import Model
from ncs.runs.predictor import Predictor, validation_rows
from ncs.runs.run import Run, field_sizes
from ncs.runs.training import train
from ncs.tasks import named_tasks
from ncs.training.cluster import Cluster
from ncs.training.loop import Trainer
from ncs.training.phase import Phase
from ncs.training.store import Store
from tests.factories import toy_conf, toy_rows, write_toy_lake

DAYS = ("logs.days=2022-04-08..2022-04-11", "split.validation=last_day", "train.models=[layer_share]")
LONG = ("train.epochs=5", "train.patience=5", "train.embedding_learning_rate=0.05", "tasks.cvr.weight=20.0")
"""Settings under which the tasks have different best epochs."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return write_toy_lake(Lake.at(str(tmp_path_factory.mktemp("lake"))), toy_conf(*DAYS), rows=600)


@pytest.fixture(scope="module")
def chosen(lake: Lake) -> Run:
    return trained(lake, *LONG)


def trained(lake: Lake, *settings: str) -> Run:
    run = Run.of(toy_conf(*DAYS, *settings), lake)
    train(run, Cluster(), lambda _: None, quiet=True)
    return run


def best_epochs(run: Run) -> dict[str, int]:
    """By the validation figures that training has logged."""
    joint = [epoch for epoch in Store(run.model_folder("layer_share"), Cluster()).logged() if epoch.phase == "joint"]
    return {
        "ctr": 1 + int(np.argmax([epoch.validation["ctr_auc"] for epoch in joint])),
        "cvr": 1 + int(np.argmin([epoch.validation["cvr_mse"] for epoch in joint])),
    }


def predicted(run: Run) -> dict[str, np.ndarray]:
    ids, _, _ = toy_rows(200, seed=99)
    return Predictor.load(run.folder, "layer_share", run.conf, field_sizes(run)).predict(ids)


def after(run: Run, epochs: int, role: str, tmp_path: Path) -> Model:
    """LayerShare trained for so many epochs of a phase on the rows of a role, by hand."""
    conf: Config = run.conf.for_model("layer_share")
    tasks = named_tasks(conf)
    loaders = {
        task.name: TableLoader(
            run.snapshot(task.table, role),
            conf.layout,
            {other.name: other.label for other in tasks.values()},
            batch_size=conf.train.batch_size,
            seed=conf.train.seed,
        )
        for task in tasks.values()
    }
    variance = dict.fromkeys(tasks, 1.0)
    trainer = Trainer(conf.train, loaders, loaders, Cluster(), Store(str(tmp_path), Cluster()), variance)
    net = build(conf, field_sizes(run), conf.train.seed)
    phase = "joint" if role == "train" else "refit"
    trainer.fit(net, Phase(phase, tuple(tasks), tuple(tasks), epochs))
    return net.eval()


def test_the_last_training_day_is_validation(chosen: Run) -> None:
    rows = {role: chosen.snapshot("gold/ctr_samples", role).rows for role in ("train", "validation", "refit", "test")}
    assert rows == {"train": 1200, "validation": 600, "refit": 1800, "test": 600}


@pytest.mark.parametrize("refit", [False, True])
def test_each_task_has_the_weights_of_its_own_best_epoch(lake: Lake, chosen: Run, refit: bool, tmp_path: Path) -> None:
    run = trained(lake, *LONG, "train.refit=true") if refit else chosen
    best = best_epochs(run)
    assert best["ctr"] != best["cvr"], "or this shows nothing"
    ids, _, _ = toy_rows(200, seed=99)
    found = predicted(run)
    for task, epoch in best.items():
        by_hand = after(run, epoch, "refit" if refit else "train", tmp_path / task)
        with torch.no_grad():
            expected = by_hand.probability(Features.of_ids(torch.from_numpy(ids.astype(np.int64))), task).numpy()
        np.testing.assert_allclose(found[task], expected, rtol=0, atol=1e-7)


def test_a_refit_leaves_what_the_tasks_are_judged_by(lake: Lake, chosen: Run) -> None:
    run = trained(lake, *LONG, "train.refit=true")
    assert run.run_id != chosen.run_id
    assert run.facts("layer_share").tasks == chosen.facts("layer_share").tasks, "validation before the refit"
    assert not np.allclose(predicted(run)["ctr"], predicted(chosen)["ctr"])
    phases = [epoch.phase for epoch in Store(run.model_folder("layer_share"), Cluster()).logged()]
    assert phases.count("refit") == max(best_epochs(run).values())
    labels, predictions = validation_rows(run.model_folder("layer_share"), "ctr")
    assert len(labels) == len(predictions) == 600
    assert ((predictions > 0) & (predictions < 1)).all()
