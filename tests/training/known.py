"""What the tests of the known models share: small models and batches, equations in plain loops, one row at a time."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ncs.data_loading import Batch, Features
from ncs.models import model_type
from ncs.nets.inputs import FieldEmbedding
from ncs.nets.layers import Tower
from ncs.nets.model import Model
from tests.factories import toy_conf, toy_spec

KNOWN = ["mmoe", "ple", "ple_2", "adatt", "home", "stem", "aitm", "snr_trans", "snr_aver", "esmm", "esm2"]
THIRD = "tasks.finish={label: finished, loss: cross_entropy, metric: auc}"
TASKS = ("ctr", "cvr", "finish")
NAN = math.nan
IDS = Features.of_ids(torch.tensor([[0, 0, 0], [4, 6, 2], [1, 3, 2], [2, 5, 1], [3, 1, 0]]))
# Not clicked; clicked and watched to the end, in part, not at all; clicked without a label of CVR.
CLICKED = [0.0, 1.0, 1.0, 1.0, 1.0]
CVR = [NAN, 1.0, 0.3, 0.0, NAN]
FINISHED = [NAN, 1.0, 0.0, 0.0, 1.0]


def built(name: str, *overrides: str) -> Model:
    """A model of the catalogue with three tasks, every weight and bias away from where it starts."""
    spec = toy_spec(THIRD, *overrides, model=name)
    torch.manual_seed(3)
    model = model_type(toy_conf().for_model(name)).build(spec).eval()
    for weight in model.parameters():
        weight.data.normal_(std=0.5)
    return model


def batch(features: Features = IDS, **labels: list[float]) -> Batch:
    columns = {"ctr": CLICKED, "cvr": CVR, "finish": FINISHED} | labels
    return Batch(features, {task: torch.tensor(values) for task, values in columns.items()}, features.rows)


def part(whole: Batch, rows: list[int]) -> Batch:
    return Batch(whole.features[rows], {task: labels[rows] for task, labels in whole.labels.items()}, whole.total)


def gradients(model: Model, one: Batch, task: str) -> dict[str, Tensor]:
    """Of every weight that the task's loss has to do with, embedding rows among them."""
    model.zero_grad()
    model.loss(one, task).backward()
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    for name, embedding in model.named_modules():
        if isinstance(embedding, FieldEmbedding) and embedding.last_lookup is not None:
            (rows, values), embedding.last_lookup = embedding.last_lookup, None
            assert values.grad is not None
            found[name] = torch.zeros_like(embedding.table).index_add_(0, rows, values.grad)
    return found


def layer(weight: Tensor, bias: Tensor | None, x: list[float]) -> list[float]:
    sums = [math.fsum(w * v for w, v in zip(row, x, strict=True)) for row in weight.tolist()]
    return sums if bias is None else [s + b for s, b in zip(sums, bias.tolist(), strict=True)]


def relu(x: list[float]) -> list[float]:
    return [max(v, 0.0) for v in x]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def tower(part: Tower, x: list[float]) -> float:
    for one in part.hidden:
        x = relu(layer(one.weight, one.bias, x))
    (logit,) = layer(part.output.weight, part.output.bias, x)
    return logit


def expert(weights: Mapping[str, Tensor], prefix: str, n: int, count: int, x: list[float]) -> list[float]:
    """The n-th of `count` sub-networks whose layers lie side by side."""
    depth = 0
    while f"{prefix}.layers.{depth}.weight" in weights:
        weight, bias = (weights[f"{prefix}.layers.{depth}.{name}"] for name in ("weight", "bias"))
        width = len(weight) // count
        rows = slice(n * width, (n + 1) * width)
        x = relu(layer(weight[rows], bias[rows], x))
        depth += 1
    return x


def mixed(scores: Tensor, x: list[float], experts: list[list[float]]) -> list[float]:
    """Experts weighted by the softmax of scores."""
    e = [math.exp(score) for score in layer(scores, None, x)]
    return weighted([value / sum(e) for value in e], experts)


def weighted(shares: list[float], vectors: list[list[float]]) -> list[float]:
    return [sum(share * v[k] for share, v in zip(shares, vectors, strict=True)) for k in range(len(vectors[0]))]


def inputs(model: Model) -> list[list[float]]:
    return model.inputs(IDS).tolist()


def check_logits(model: Model, task: str, expected: list[float]) -> None:
    torch.testing.assert_close(model.logits(IDS, task), torch.tensor(expected))


def cross_entropy(p: float, label: float) -> float:
    return -label * math.log(p) - (1 - label) * math.log(1 - p)
