"""Optimisers of embedding rows, which move those that a batch looks up, and a penalty on all rows of a table."""

from typing import Protocol

import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""Of Adam, for rows and dense weights alike."""


class RowOptimizer(Protocol):
    """An optimiser of the rows of an embedding table."""

    state: Tensor
    """The optimiser's state, by row."""

    def step(self, rows: Tensor, gradient: Tensor) -> None:
        """Update unique `rows` [n] by their gradients [n, width]."""


class LazyAdam:
    """Adam for the rows of a table, with the bias correction of the steps that each row has had, and weight decay.

    The state of a row is contiguous in `state`, for one read and one write a row: the moments (2 * width), and the sums
    of the weights of these means.
    """

    def __init__(self, table: Tensor, rate: float, decay: float = 0.0) -> None:
        rows, width = table.shape
        self._table, self._rate, self._decay, self._width = table, rate, decay, width
        self.state = table.new_zeros(rows, 2 * width + 2)
        self._step = table.new_tensor([*[1 - BETA1] * width, *[1 - BETA2] * width, 1 - BETA1, 1 - BETA2])

    def step(self, rows: Tensor, gradient: Tensor) -> None:
        """See `RowOptimizer`."""
        state = self.state.index_select(0, rows)
        state.lerp_(torch.cat([gradient, gradient.square(), gradient.new_ones(len(rows), 2)], 1), self._step)
        self.state.index_copy_(0, rows, state)
        first, second, first_sum, second_sum = state.split([self._width, self._width, 1, 1], 1)
        size = (second / second_sum).sqrt_().add_(EPSILON)
        _move(self._table, rows, (first / first_sum).div_(size), self._rate, self._decay)


class RowwiseAdagrad:
    """Adagrad with one number a row, the sum of its gradients' mean squares: for tables that hardly fit into memory.

    All weights of a row have the same rate (Gupta et al. 2014; DLRM trains its tables so).
    """

    def __init__(self, table: Tensor, rate: float, decay: float = 0.0) -> None:
        self._table, self._rate, self._decay = table, rate, decay
        self.state = table.new_zeros(len(table))

    def step(self, rows: Tensor, gradient: Tensor) -> None:
        """See `RowOptimizer`."""
        sums = self.state.index_select(0, rows).add_(gradient.square().mean(1))
        self.state.index_copy_(0, rows, sums)
        _move(self._table, rows, gradient / sums.sqrt().add_(EPSILON).unsqueeze(1), self._rate, self._decay)


def _move(table: Tensor, rows: Tensor, steps: Tensor, rate: float, decay: float) -> None:
    """Shrink each row by `rate * decay` of itself and subtract `rate` times its step.

    Rows are unique, so a gather and a write do it, and faster.
    """
    moved = table.index_select(0, rows)
    if decay:
        moved.mul_(1 - rate * decay)
    table.index_copy_(0, rows, moved.sub_(steps, alpha=rate))


class RowPenalty:
    """The gradient of an L2 penalty on all rows of a table in the loss of every step, as rows are looked up.

    A row that a batch looks up gets what it has missed since it was looked up last, so that the penalty weighs as much
    for rare ids as for frequent ones, of which the data say more.
    """

    def __init__(self, table: Tensor, l2: float) -> None:
        self._table, self._l2 = table, l2
        self.last = torch.zeros(len(table), dtype=torch.int64, device=table.device)
        """The step in which each row was looked up last."""

    def gradient(self, rows: Tensor, step: int) -> Tensor:
        """The penalty's gradient for unique `rows` [n] that a batch looks up in a step, [n, width]."""
        missed = step - self.last.index_select(0, rows)
        self.last.index_fill_(0, rows, step)
        return self._table.index_select(0, rows).mul_(self._l2 * missed.unsqueeze(1))


ROW_OPTIMIZERS: dict[str, type[LazyAdam] | type[RowwiseAdagrad]] = {"adam": LazyAdam, "adagrad": RowwiseAdagrad}
