"""Where the tasks pull apart: the angle between their gradients, layer by layer."""

from collections.abc import Mapping
from itertools import islice

import torch
from torch import Tensor

from ncs.data_loading import Batch
from ncs.nets.masked import MaskedNet
from ncs.training.loop import Trainer

BATCHES = 50
"""Pairs of batches that are asked; a cosine of a single pair is mostly noise."""

Conflict = Mapping[str, Mapping[str, float]]
"""Layer (`embedding`, `hidden.<n>`) -> mean `cosine` and the share of pairs in which it is `negative`."""


def conflict(net: MaskedNet, trainer: Trainer) -> Conflict:
    """How the gradients of the first two tasks lie to each other, with the weights and masks that `net` has now.

    Each pair is a batch of either task's training samples; where the cosine is negative, a step of one task undoes
    part of the other's (Yu et al., NeurIPS 2020, section 2.1). Layers that the tasks do not share are left out; of a
    masked one only what both keep adds to the product. Changes no weight.
    """
    left, right, *_ = net.tasks
    batches = zip(*(islice(trainer.loaders[task].epoch(0), BATCHES) for task in (left, right)), strict=False)
    shared = net.hidden(left) is net.hidden(right)
    layers = ["embedding", *(f"hidden.{n}" for n, _ in enumerate(net.hidden(left)) if shared)]
    sums = torch.zeros(len(layers), 3, dtype=torch.float64)  # of the cosines, of the negative ones, of the pairs
    for one, other in batches:
        mine, others = _gradients(net, one, left), _gradients(net, other, right)
        cosines = torch.stack([_cosine(mine[name], others[name]) for name in layers]).double()
        known = ~cosines.isnan()  # a worker's part of a last batch may be empty
        sums += torch.stack([cosines.nan_to_num(), (cosines < 0).double(), known.double()], dim=1)
    net.zero_grad(set_to_none=True)
    found = zip(layers, trainer.cluster.sum(sums).tolist(), strict=True)
    return {name: {"cosine": total / n, "negative": below / n} for name, (total, below, n) in found if n}


def _gradients(net: MaskedNet, batch: Batch, task: str) -> dict[str, Tensor]:
    """A loss's gradient by layer, in host memory; that of the embedding is sparse, it has the batch's rows alone."""
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
