"""Where a worker computes and in which precision: on a GPU where there is one, and what a CPU can show of it."""

import copy
import math
from unittest import mock

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from ncs.config.learning import Variant
from ncs.data_loading import Batch, Features
from ncs.errors import TrainingError
from ncs.lake.layout import Lake
from ncs.models import build
from ncs.nets.model import Model
from ncs.pruning.mask import Mask
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from ncs.training import optim
from ncs.training.cluster import Cluster
from ncs.training.hardware import autocast_to, select_device
from ncs.training.optim import MaskedAdam
from ncs.training.store import Store
from tests.factories import toy_conf, toy_rows, write_toy_lake
from tests.training.faults import saved_state, trained

SIZES = {"user_id": 61, "video_id": 41}
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def masked(name: str) -> Model:
    """A model of the toy; where it can have masks, with one of chance for each task."""
    net = build(toy_conf().for_model(name), SIZES, seed=1)
    if hasattr(net, "maskable"):
        net.task_masks = {
            task: Mask({layer: (torch.rand_like(w) < 0.5).float() for layer, w in net.maskable(task).items()})
            for task in net.tasks
        }
    return net


def batch(net: Model, device: str, seed: int = 0, rows: int = 64) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.stack([torch.randint(size, (rows,), generator=generator) for size in SIZES.values()], 1)
    labels = {task: torch.rand(rows, generator=generator).round().to(device) for task in net.tasks}
    return Batch(Features.of_ids(ids.to(device)), labels, rows)


def step(net: Model, optimizer: MaskedAdam, one: Batch, task: str, precision: str = "float32") -> float:
    with autocast_to(precision, one.features.device):  # type: ignore[arg-type]
        loss = net.loss(one, task) / one.total
    loss.backward()
    optimizer.step(net.masks(task))
    return loss.item()


def test_the_workers_of_a_machine_take_its_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [str(select_device("auto", rank)) for rank in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert str(select_device("cpu", 0)) == "cpu"


def test_without_a_gpu_auto_is_the_cpu_and_cuda_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert str(select_device("auto", 0)) == "cpu"
    with pytest.raises(TrainingError, match=r"train.device is cuda, but .* finds no GPU .* set train.device to"):
        select_device("cuda", 0)


def test_the_precision_makes_another_run_the_device_does_not(lake: Lake) -> None:
    write_toy_lake(lake, toy_conf())
    first, elsewhere, coarser = (
        Run.of(toy_conf(*keys), lake).run_id for keys in ([], ["train.device=cuda"], ["train.precision=bfloat16"])
    )
    assert first == elsewhere != coarser
    Variant(set={"train.precision": "bfloat16"})
    with pytest.raises(ValidationError, match="the same for all models"):
        Variant(set={"train.device": "cpu"})


@pytest.mark.parametrize("name", ["connection_share", "layer_share", "mmoe", "ple", "snr_trans"])
def test_a_step_mixes_no_devices(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On tensors without values of a second device, where an operation that mixes devices raises.

    They are torch's "meta" device's: autograd would ask a GPU's driver for streams, and lose its way without one.
    """
    net = masked(name)
    masks = net.task_masks
    # Which rows are equal hangs on values that are not there.
    monkeypatch.setattr(optim, "coalesce", lambda rows, gradients: (rows, gradients))
    with FakeTensorMode(allow_non_fake_inputs=True):
        moved_without_values(net)
        net.task_masks = masks
        one = batch(net, "meta")
        optimizer = MaskedAdam(net, Cluster(), 0.01, 0.01, weight_decay=0.1)
        loss = net.loss(one, "ctr")
        loss.backward()
        optimizer.step(net.masks("ctr"))
        assert loss.device.type == "meta"
        with pytest.raises(RuntimeError, match="same device"):
            net.loss(batch(net, "cpu"), "ctr")


def moved_without_values(net: Model) -> None:
    """What `net.to("meta")` does, which fake tensors refuse."""
    for module in net.modules():
        for name, weight in module._parameters.items():
            if weight is not None:
                module._parameters[name] = nn.Parameter(weight.detach().to("meta"), weight.requires_grad)
        for name, buffer in module._buffers.items():
            assert buffer is not None
            module._buffers[name] = buffer.to("meta")


@pytest.mark.parametrize("name", ["connection_share", "layer_share", "mmoe", "ple", "snr_trans", "esmm", "esm2"])
def test_bfloat16_gives_about_the_loss_and_the_gradients_of_float32(name: str) -> None:
    net = masked(name)
    losses, gradients = [], []
    for precision in ("float32", "bfloat16"):
        torch.manual_seed(0)  # of SNR's gates
        net.zero_grad()
        with autocast_to(precision, torch.device("cpu")):  # type: ignore[arg-type]
            loss = net.loss(batch(net, "cpu"), "ctr")
        loss.backward()
        losses.append(loss)
        gradients.append(torch.cat([w.grad.flatten() for w in net.parameters() if w.grad is not None]))
    assert losses[1].dtype == gradients[1].dtype == torch.float32
    assert losses[1] != losses[0], "it computed in another precision"
    torch.testing.assert_close(losses[1], losses[0], rtol=0.01, atol=0)
    assert (gradients[1] - gradients[0]).norm() < 0.1 * gradients[0].norm()


def test_under_bfloat16_what_a_mask_leaves_out_keeps_every_bit_and_the_rest_stays_float32() -> None:
    net = masked("connection_share")
    optimizer = MaskedAdam(net, Cluster(), 0.01, 0.01, weight_decay=0.1)
    for seed in range(5):
        step(net, optimizer, batch(net, "cpu", seed), "ctr", "bfloat16")
    before = copy.deepcopy(net.state_dict())
    for seed in range(5):
        step(net, optimizer, batch(net, "cpu", seed), "cvr", "bfloat16")
    after = net.state_dict()
    for layer, mask in net.task_masks["cvr"].items():
        name = "outputs.cvr.weight" if layer == "output" else f"bodies.shared.{layer.split('.')[1]}.weight"
        same = after[name] == before[name]
        assert same[mask == 0].all()
        assert not same[mask == 1].all()
    state = optimizer.state_dict()
    kept = [*after.values(), *state["dense"], *state["rows"].values()]
    assert {tensor.dtype for tensor in kept} == {torch.float32}


def figures(run: Run, model: str) -> dict[str, float]:
    """The validation figures of the last epoch."""
    return Store(run.model_folder(model), Cluster()).logged()[-1].validation


def test_a_training_in_bfloat16_comes_to_the_figures_of_float32(lake: Lake) -> None:
    """Within 0.005 of AUC and 0.002 of MSE."""
    # The last round for both: of rounds that are nearly equal, either precision may find another one the best.
    models = "train.models=[layer_share, connection_share]"
    write_toy_lake(lake, toy_conf())
    exact, coarse = (
        trained(lake, toy_conf(models, "prune.select=last", *more)) for more in ([], ["train.precision=bfloat16"])
    )
    for model in exact.conf.train.models:
        expected, found = figures(exact, model), figures(coarse, model)
        assert found["ctr_auc"] == pytest.approx(expected["ctr_auc"], abs=0.005)
        assert found["cvr_mse"] == pytest.approx(expected["cvr_mse"], abs=0.002)
        assert {weight.dtype for weight in saved_state(coarse, model)["net"].values()} == {torch.float32}


@gpu
@pytest.mark.parametrize("name", ["connection_share", "layer_share", "mmoe", "ple", "snr_trans", "esmm", "esm2"])
def test_steps_on_a_gpu_are_those_of_the_cpu(name: str) -> None:
    here, there = masked(name).eval(), masked(name).eval().to("cuda")  # SNR draws nothing
    there.task_masks = here.task_masks
    mine, theirs = (MaskedAdam(net, Cluster(), 0.001, 0.001, weight_decay=0.1) for net in (here, there))
    for n in range(3):
        one, other = batch(here, "cpu", n), batch(there, "cuda", n)
        assert step(there, theirs, other, "ctr") == pytest.approx(step(here, mine, one, "ctr"), rel=1e-5)
    for key, weight in there.state_dict().items():
        torch.testing.assert_close(weight.cpu(), here.state_dict()[key], rtol=0, atol=1e-5, msg=key)


@gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_training_on_a_gpu_leaves_a_model_that_a_cpu_reads(lake: Lake, precision: str) -> None:
    conf = toy_conf("train.device=cuda", f"train.precision={precision}", "train.models=[connection_share, esm2]")
    run = trained(write_toy_lake(lake, conf), conf)
    for model in conf.train.models:
        assert all(map(math.isfinite, figures(run, model).values()))
        with mock.patch.object(torch.cuda, "is_available", return_value=False):
            predicted = Predictor.load(run.folder, model, conf, field_sizes(run)).predict(toy_rows(100, seed=9)[0])
        assert all(((values > 0) & (values < 1)).all() for values in predicted.values())


@gpu
def test_a_loss_on_a_gpu_that_is_not_finite_ends_the_training(lake: Lake) -> None:
    conf = toy_conf("train.device=cuda", "train.models=layer_share", "train.learning_rate=1.0e+38")
    with pytest.raises(TrainingError, match=r"lower train.learning_rate, the weights of the last epoch are kept"):
        trained(write_toy_lake(lake, conf), conf)
