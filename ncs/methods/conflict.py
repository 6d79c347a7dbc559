"""Conflict between tasks: the angle between their gradients, layer by layer."""

from itertools import islice

import torch
from torch import Tensor

from ncs.data_loading import Batch
from ncs.lake.documents import LayerConflict
from ncs.nets.masked import MaskedNet
from ncs.training.loop import Trainer

BATCHES = 50
"""Pairs of batches that are averaged over: a cosine of a single pair is mostly noise."""


def conflict(net: MaskedNet, trainer: Trainer) -> dict[str, LayerConflict]:
    """The cosine between the gradients of the first two tasks, by layer, at the current weights and masks of `net`.

    Layers are `embedding` and `hidden.<n>`, without those that the tasks do not share. Each pair is a batch of either
    task's training samples; where the cosine is negative, a step of one task undoes some of the other's (Yu et al.,
    NeurIPS 2020, section 2.1). Of a masked layer only connections that both keep contribute. Changes no weight.
    """
    net.eval()  # without dropout, whatever went before
    left, right, *_ = net.tasks
    batches = zip(*(islice(trainer.loaders[task].epoch(0), BATCHES) for task in (left, right)), strict=False)
    shared = net.hidden(left) is net.hidden(right)
    layers = ["embedding", *(f"hidden.{n}" for n, _ in enumerate(net.hidden(left)) if shared)]
    sums = torch.zeros(len(layers), 3, dtype=torch.float64)  # cosines, negative ones, pairs
    for left_batch, right_batch in batches:
        by_left, by_right = _gradients(net, left_batch, left), _gradients(net, right_batch, right)
        cosines = torch.stack([_cosine(by_left[name], by_right[name]) for name in layers]).double()
        known = ~cosines.isnan()  # a worker's slice of a last batch may be empty
        sums += torch.stack([cosines.nan_to_num(), (cosines < 0).double(), known.double()], dim=1)
    net.zero_grad(set_to_none=True)
    totals = zip(layers, trainer.cluster.sum(sums).tolist(), strict=True)
    return {name: LayerConflict(cosine=total / n, negative=below / n) for name, (total, below, n) in totals if n}


def _gradients(net: MaskedNet, batch: Batch, task: str) -> dict[str, Tensor]:
    """The gradient of a loss by layer, in host memory; the embedding's is sparse, with the rows of the batch."""
    net.zero_grad(set_to_none=True)
    net.loss(batch, task).backward()
    embedding = net.inputs.embedding
    assert embedding.last_lookup is not None
    (rows, values), embedding.last_lookup = embedding.last_lookup, None
    assert values.grad is not None
    size = embedding.rows, embedding.width
    at, grad = rows.unsqueeze(0).cpu(), values.grad.cpu()
    sparse = torch.sparse_coo_tensor(at, grad, size, check_invariants=False).coalesce()
    weights = {f"hidden.{n}": layer.weight.grad for n, layer in enumerate(net.hidden(task))}
    return {"embedding": sparse, **{name: grad.cpu() for name, grad in weights.items() if grad is not None}}


def _cosine(left: Tensor, right: Tensor) -> Tensor:
    return (left * right).sum() / (left.norm() * right.norm())
