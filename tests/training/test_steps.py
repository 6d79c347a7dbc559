"""What a step is made of: the focal loss, the order of the tasks' batches, the masks that the optimiser knows."""

import math
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ncs import config
from ncs.nets.entire_space import probability_loss
from ncs.nets.masked import MaskedNet
from ncs.nets.model import focal_loss, logit_loss
from ncs.pruning.mask import Mask
from ncs.tasks import named_tasks
from ncs.training.cluster import Cluster
from ncs.training.loop import Trainer
from ncs.training.phase import Phase
from tests.factories import ROOT, toy_conf, toy_spec
from tests.training.known import IDS, batch


def test_the_focal_loss_is_its_formula() -> None:
    logits, labels = [-2.0, 0.5, 3.0, 0.5], [0.0, 1.0, 1.0, 0.25]
    expected = []
    for logit, label in zip(logits, labels, strict=True):
        p = 1 / (1 + math.exp(-logit))
        ends = -0.75 * (1 - p) ** 2 * math.log(p), -0.25 * p**2 * math.log(1 - p)
        expected.append(label * ends[0] + (1 - label) * ends[1])
    found = focal_loss(torch.tensor(logits), torch.tensor(labels))
    torch.testing.assert_close(found, torch.tensor(expected))
    assert focal_loss(torch.tensor([-200.0, 200.0]), torch.tensor([1.0, 0.0])).isfinite().all()


def test_a_task_may_have_the_focal_loss_in_every_model() -> None:
    task = named_tasks(toy_conf("tasks.ctr.loss=focal", "tasks.ctr.weight=2.0"))["ctr"]
    logits, labels = torch.tensor([-1.0, 0.5]), torch.tensor([0.0, 1.0])
    loss = logit_loss(task, logits, labels)
    torch.testing.assert_close(loss, 2 * focal_loss(logits, labels).sum())
    torch.testing.assert_close(probability_loss(task, logits.sigmoid(), labels), loss)


def trainer(*overrides: str) -> Trainer:
    loaders: Any = {task: SimpleNamespace(steps=steps) for task, steps in (("ctr", 5), ("cvr", 2))}
    store: Any = None
    return Trainer(toy_conf(*overrides).train, loaders, loaders, Cluster(), store, {})


def test_tasks_take_turns_until_one_has_no_more() -> None:
    phase = Phase("joint", ("ctr", "cvr"), ("ctr", "cvr"), 1)
    alternate = trainer("train.order=alternate")._order(phase, 3)
    assert alternate == ["ctr", "cvr", "ctr", "cvr", "ctr", "ctr", "ctr"]
    shuffled = trainer()._order(phase, 3)
    assert shuffled != alternate
    assert sorted(shuffled) == sorted(alternate)


class Recorder:
    """In the place of an optimiser."""

    def step(self, masks: Mapping[nn.Parameter, Tensor]) -> None:
        self.masks = masks


@pytest.mark.parametrize(("masked", "layers"), [(True, 3), (False, 0)])
def test_a_common_optimiser_knows_no_masks(masked: bool, layers: int) -> None:
    net = MaskedNet(toy_spec())
    net.task_masks = {task: Mask.ones(net.maskable(task)) for task in net.tasks}
    recorder: Any = Recorder()
    own = trainer()
    replace(own, conf=own.conf.model_copy(update={"masked_state": masked}))._step(net, recorder, "ctr", batch(IDS))
    assert len(recorder.masks) == layers


def test_the_authors_settings_leave_a_fifth_of_the_weights() -> None:

    conf = config.load(ROOT / "conf" / "lt4rec.yaml")
    assert (1 - conf.prune.rate) ** conf.prune.rounds == pytest.approx(0.2, abs=0.001)
    assert named_tasks(conf)["ctr"].loss == "focal"
    assert [slot.table for slot in conf.layout.ids].count("video_id") == 2, "source and candidate share a table"
    assert "source_video_id" in conf.features
