"""What holds for all known multi-task models: a third task, workers that add up, a run that learns."""

import numpy as np
import pytest
import torch

from ncs.lake.layout import Lake
from ncs.metrics import auc
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from ncs.runs.training import train
from ncs.training.cluster import Cluster
from tests.factories import toy_conf, toy_rows, write_toy_lake
from tests.training.known import FINISHED, IDS, KNOWN, TASKS, batch, built, cross_entropy, gradients, part


@pytest.mark.parametrize("name", ["mmoe", "ple", "ple_2", "adatt", "home", "stem", "snr_trans", "snr_aver", "esmm"])
def test_a_tasks_batch_leaves_what_is_another_tasks_alone(name: str) -> None:
    """No gradient at all: the optimiser would go on moving a weight whose gradient is 0."""
    moved = gradients(built(name), batch(), "finish")
    assert any(".finish." in weight for weight in moved)
    ends = [weight for weight in moved if weight.startswith(("towers", "gates", "to_task", "levels.1.own"))]
    assert all(".finish." in weight for weight in ends)


@pytest.mark.parametrize("name", KNOWN)
def test_a_third_task_is_predicted_and_learns(name: str) -> None:
    model = built(name)
    predicted = model.predict(IDS)
    assert tuple(predicted) == TASKS
    assert all(((values > 0) & (values < 1)).all() for values in predicted.values())
    rows = [1, 2, 3, 4]
    loss = model.loss(part(batch(), rows), "finish")
    own = sum(cross_entropy(predicted["finish"][n].item(), FINISHED[n]) for n in rows)
    if name.startswith("snr"):
        gates = model.between.gates.penalty() + model.to_task["finish"].gates.penalty()
        own += 0.0001 * len(rows) * gates.item()
    assert loss.item() == pytest.approx(own, rel=1e-4)
    found = gradients(model, part(batch(), rows), "finish")
    assert all(values.isfinite().all() for values in found.values())
    assert any(values.any() for weight, values in found.items() if weight.startswith("towers.finish"))


@pytest.mark.parametrize("name", KNOWN)
def test_workers_losses_and_gradients_add_up(name: str) -> None:
    """An empty part has the same weights' gradients, all 0: they are summed in one buffer."""
    model, whole = built(name).train(), batch()
    found = []
    for rows in ([0, 1, 2, 3, 4], [0, 3], [1, 2, 4], []):
        torch.manual_seed(2)
        found.append(gradients(model, part(whole, rows), "ctr"))
    all_, first, second, nothing = found
    assert all_.keys() == first.keys() == second.keys() == nothing.keys()
    for weight, values in all_.items():
        torch.testing.assert_close(first[weight] + second[weight], values, rtol=1e-4, atol=1e-5)
        assert not nothing[weight].any()


def test_known_models_learn_in_a_run(lake: Lake) -> None:
    conf = toy_conf(f"train.models=[{', '.join(KNOWN)}]", "train.epochs=3")
    run = Run.of(conf, write_toy_lake(lake, conf))
    train(run, Cluster(), lambda _: None, quiet=True)
    ids, clicked, cvr = toy_rows(4000, seed=99)
    labelled = ~np.isnan(cvr)
    for model in KNOWN:
        predictor = Predictor.load(run.folder, model, conf, field_sizes(run))
        predicted = predictor.predict(ids)
        assert auc(clicked, predicted["ctr"]) > 0.55, model
        assert np.mean((predicted["cvr"][labelled] - cvr[labelled]) ** 2) < np.var(cvr[labelled]), model
        assert all(((values > 0) & (values < 1)).all() for values in predicted.values()), model
        again = predictor.predict(ids[:10])
        assert all(np.allclose(again[task], predicted[task][:10]) for task in again), model
