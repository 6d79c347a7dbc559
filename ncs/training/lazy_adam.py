"""Lazy Adam: a row of an embedding table moves only when a batch holds it, as if there were no other batches.

A step costs what the batch's rows cost, whatever the size of the table, where Adam on dense gradients (or an
optimiser with momentum on zeros) goes through all of it.
"""

import pandas as pd
import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class LazyAdam:
    """Adam for the rows of a table, every row with the bias correction of the steps that it has seen.

    All that it keeps of a row lies side by side in `state`, so that a step reads and writes one place a row: the
    moments (2 * width), and the sums of the weights that these means were taken with.
    """

    def __init__(self, table: Tensor, rate: float) -> None:
        rows, width = table.shape
        self._table, self._rate, self._width = table, rate, width
        self.state = table.new_zeros(rows, 2 * width + 2)
        self._step = table.new_tensor([*[1 - BETA1] * width, *[1 - BETA2] * width, 1 - BETA1, 1 - BETA2])

    def step(self, rows: Tensor, gradient: Tensor) -> None:
        """Move `rows` [n], each of which stands there once, by their gradients [n, width]."""
        state = self.state.index_select(0, rows)
        state.lerp_(torch.cat([gradient, gradient.square(), gradient.new_ones(len(rows), 2)], 1), self._step)
        self.state.index_copy_(0, rows, state)
        first, second, first_sum, second_sum = state.split([self._width, self._width, 1, 1], 1)
        size = (second / second_sum).sqrt_().add_(EPSILON)
        self._table.index_add_(0, rows, (first / first_sum).div_(size), alpha=-self._rate)


def coalesce(rows: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
    """Every row once, and the sum of its gradients: [n], [n, width] -> [m], [m, width], m <= n.

    In the order of first appearance on a CPU (a hash table, several times faster than sorting), sorted on a GPU.
    """
    if rows.is_cuda:
        found, places = rows.unique(return_inverse=True)
    else:
        codes, uniques = pd.factorize(rows.numpy())
        found, places = torch.from_numpy(uniques), torch.from_numpy(codes)
    return found, gradients.new_zeros(len(found), gradients.shape[1]).index_add_(0, places, gradients)
