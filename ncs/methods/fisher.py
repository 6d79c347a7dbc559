"""How much a task's loss depends on each connection: the diagonal of the empirical Fisher information."""

from itertools import islice

import torch
from torch import Tensor

from ncs.nets.masked import MaskedNet
from ncs.training.loop import Trainer

BATCHES = 50
"""Batches that are averaged over."""


def squared_gradients(net: MaskedNet, trainer: Trainer, task: str) -> dict[str, Tensor]:
    """The mean over batches of the squared gradient of the task's mean loss, by layer of `net.maskable`, on the CPU.

    With it w^2 times the gradient squared is, up to a factor, how much the loss grows without the connection (Theis et
    al. 2018, arXiv 1801.05787; DiSparse, CVPR 2022, ranks alike). Of whole batches, not of rows, which would take a
    backward pass each. Gradients of all workers' rows are summed before they are squared. Changes no weight.
    """
    net.eval()
    weights = net.maskable(task)
    sums, count = {name: torch.zeros_like(weight, device="cpu") for name, weight in weights.items()}, 0
    for batch in islice(trainer.loaders[task].epoch(0), BATCHES):
        net.zero_grad(set_to_none=True)
        (net.loss(batch, task) / batch.total).backward()
        count += 1
        for name, weight in weights.items():
            assert weight.grad is not None
            sums[name] += trainer.cluster.sum(weight.grad.cpu()).square()
    net.zero_grad(set_to_none=True)
    net.task_inputs(task).embedding.last_lookup = None  # of no step
    return {name: total / count for name, total in sums.items()}
