"""Optimisers of an embedding table: a row moves only when a batch holds it, as if there were no other batches.

A step costs what the batch's rows cost, whatever the size of the table, where Adam on dense gradients (or an
optimiser with momentum on zeros) goes through all of it.
"""

from typing import Protocol

import torch
from torch import Tensor

from ncs.nets.embedding import unique_rows

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class RowOptimizer(Protocol):
    """What moves the rows of a table."""

    state: Tensor
    """All that it remembers, by row."""

    def step(self, rows: Tensor, gradient: Tensor) -> None:
        """Move `rows` [n], each of which stands there once, by their gradients [n, width]."""


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
        """See `RowOptimizer`."""
        state = self.state.index_select(0, rows)
        state.lerp_(torch.cat([gradient, gradient.square(), gradient.new_ones(len(rows), 2)], 1), self._step)
        self.state.index_copy_(0, rows, state)
        first, second, first_sum, second_sum = state.split([self._width, self._width, 1, 1], 1)
        size = (second / second_sum).sqrt_().add_(EPSILON)
        _move(self._table, rows, (first / first_sum).div_(size), self._rate)


class RowwiseAdagrad:
    """Adagrad with one number a row, the sum of its gradients' mean squares: for tables that hardly fit.

    All weights of a row share a rate (Gupta et al. 2014, the form that DLRM trains its tables with).
    """

    def __init__(self, table: Tensor, rate: float) -> None:
        self._table, self._rate = table, rate
        self.state = table.new_zeros(len(table))

    def step(self, rows: Tensor, gradient: Tensor) -> None:
        """See `RowOptimizer`."""
        sums = self.state.index_select(0, rows).add_(gradient.square().mean(1))
        self.state.index_copy_(0, rows, sums)
        _move(self._table, rows, gradient / sums.sqrt().add_(EPSILON).unsqueeze(1), self._rate)


def _move(table: Tensor, rows: Tensor, steps: Tensor, rate: float) -> None:
    """Take `rate` times its step from each row; as each is there once, reading and writing does, and is faster."""
    table.index_copy_(0, rows, table.index_select(0, rows).sub_(steps, alpha=rate))


ROW_OPTIMIZERS: dict[str, type[LazyAdam] | type[RowwiseAdagrad]] = {"adam": LazyAdam, "adagrad": RowwiseAdagrad}


def coalesce(rows: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
    """Every row once, and the sum of its gradients: [n], [n, width] -> [m], [m, width], m <= n."""
    found, places = unique_rows(rows)
    summed = gradients.new_zeros(len(found), gradients.shape[1])
    if rows.is_cuda:
        # A sum in sorted order; index_add_ would add in an order of chance there.
        return found, summed.index_put_((places,), gradients, accumulate=True)
    return found, summed.index_add_(0, places, gradients)
