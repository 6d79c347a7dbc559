"""Normalised layers, dropout and weight decay of embeddings: as defined, and where they must have no effect."""

import pytest
import torch
from torch.nn import functional as F

from ncs.models import build
from ncs.nets.dropout import Dropout
from ncs.nets.masked import MaskedNet
from ncs.serving.model import ServingNet
from ncs.training.cluster import Cluster
from ncs.training.optim import MaskedAdam
from ncs.training.row_optim import ROW_OPTIMIZERS
from tests.factories import toy_conf, toy_spec
from tests.serving.nets import IDS, masked, of_catalogue

MODELS = ["layer_share", "connection_share", "mmoe", "ple", "snr_trans", "esmm"]


def test_dropout_leaves_out_its_share_and_keeps_the_mean() -> None:
    dropout, ones = Dropout(0.3), torch.ones(400, 500)
    torch.manual_seed(0)
    found = dropout(ones)
    assert found.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    assert float(found.mean()) == pytest.approx(1.0, abs=0.01)
    assert not torch.equal(dropout(ones), found), "each call draws again"
    assert dropout.eval()(ones) is ones


def test_what_is_drawn_after_dropout_does_not_depend_on_the_rows() -> None:
    after = []
    for rows in (3, 1000):
        torch.manual_seed(1)
        Dropout(0.5)(torch.ones(rows, 7))
        after.append(torch.rand(4))
    assert torch.equal(*after)


@pytest.mark.parametrize("name", MODELS)
def test_dropout_has_an_effect_in_training_alone(name: str) -> None:
    net = of_catalogue(name, "net.dropout=0.5", "net.embedding_dropout=0.5")
    plain = of_catalogue(name)
    assert net.state_dict().keys() == plain.state_dict().keys()
    assert torch.equal(net.probability(IDS, "ctr"), plain.probability(IDS, "ctr"))
    net.train()
    assert not torch.equal(net.logits(IDS, "cvr"), plain.logits(IDS, "cvr"))


def test_a_normalised_layer_has_mean_0_and_variance_1_over_its_neurons() -> None:
    net = of_catalogue("connection_share", "net.norm=layer")
    assert isinstance(net, MaskedNet)
    masked(net, 0.5)
    mask = net.task_masks["ctr"]
    hidden = net.inputs(IDS)
    for n, layer in enumerate(net.hidden("ctr")):
        whole = hidden @ (layer.weight * mask[f"hidden.{n}"]).T + layer.bias
        centred = whole - whole.mean(1, keepdim=True)
        hidden = F.relu(centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt())
    output = net.outputs["ctr"]
    expected = hidden @ (output.weight * mask["output"]).T + output.bias
    torch.testing.assert_close(net.logits(IDS, "ctr"), expected.squeeze(1))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_normalised_layers(name: str) -> None:
    net, plain = of_catalogue(name, "net.norm=layer"), of_catalogue(name)
    assert net.state_dict().keys() == plain.state_dict().keys(), "without weights of its own"
    assert not torch.allclose(net.probability(IDS, "ctr"), plain.probability(IDS, "ctr"))


@pytest.mark.parametrize("density", [0.35, 1.0])
def test_a_served_net_with_normalised_layers_predicts_what_the_masked_one_does(density: float) -> None:
    net = of_catalogue("connection_share", "net.norm=layer")
    assert isinstance(net, MaskedNet)
    masked(net, density)
    for task in net.tasks:
        small = ServingNet(net.spec, net.subnetwork(task))
        torch.testing.assert_close(small(IDS.ids), net.probability(IDS, task))
        assert small.widths()[1:] == [*net.spec.net.hidden, 1], "a neuron that is cut off has a part in the mean"


@pytest.mark.parametrize("name", list(ROW_OPTIMIZERS))
def test_rows_that_are_looked_up_decay_and_no_others(name: str) -> None:
    rows, gradient = torch.tensor([1, 3]), torch.randn(2, 4)
    moved = []
    for decay in (0.0, 0.5):
        torch.manual_seed(0)
        table = torch.randn(5, 4)
        before = table.clone()
        ROW_OPTIMIZERS[name](table, 0.1, decay).step(rows, gradient)
        assert torch.equal(table[[0, 2, 4]], before[[0, 2, 4]])
        moved.append(table[rows])
    torch.testing.assert_close(moved[0] - moved[1], 0.1 * 0.5 * before[rows])


def test_the_decay_of_embeddings_is_that_of_the_configuration() -> None:
    conf = toy_conf("train.embedding_weight_decay=0.5").for_model("layer_share")
    net = build(conf, {"user_id": 5, "video_id": 7}, seed=1)
    train = conf.train
    steps = MaskedAdam(net, Cluster(), train.learning_rate, 0.1, 0.0, "adam", train.embedding_weight_decay)
    table = net.inputs.embedding.table
    before = table.clone()
    features = IDS[:1].ids[:, :2] + 1
    embedded = net.inputs.embedding(features)
    (embedded.sum() * 0).backward()
    steps.step({})
    torch.testing.assert_close(table[1], before[1] * (1 - 0.1 * 0.5))


def test_a_share_of_all_is_refused() -> None:
    with pytest.raises(Exception, match=r"net\.dropout"):
        toy_spec("net.dropout=1.0")
