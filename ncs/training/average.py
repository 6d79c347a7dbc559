"""Exponential moving averages of weights (Polyak averaging): smoother than the weights of the last step.

An average keeps `decay` of itself in a step and takes the rest from the weights; in the first steps it keeps less, so
that it forgets what the weights were drawn as. A row of an embedding table is averaged when a batch has it: until then
it has not changed, so that the steps between are one product of their decays.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class WeightAverage:
    """The averages of a vector of dense weights and of the tables of embeddings, by name."""

    def __init__(self, decay: float, dense: Tensor, tables: Mapping[str, Tensor]) -> None:
        self._decay, self._dense, self._tables = decay, dense, tables
        self._steps, self._log = 0, 0.0
        """Steps until now, and the sum of the logarithms of their decays."""
        self._average = dense.clone()
        # A row's average, and the sum of the logarithms at its last step: contiguous, and one tensor to shard.
        self._rows = {name: torch.cat([table, table.new_zeros(len(table), 1)], 1) for name, table in tables.items()}

    def begin_step(self) -> None:
        """A step begins: the optimiser is about to change weights."""
        self._steps += 1
        self._kept = min(self._decay, (1 + self._steps) / (10 + self._steps))
        self._before, self._log = self._log, self._log + math.log(self._kept)

    def before(self, name: str, rows: Tensor) -> None:
        """Take the steps since their last one into the averages of unique `rows` [n] that are about to change."""
        self._rows[name].index_copy_(0, rows, self._caught_up(name, rows, self._before))

    def after(self, name: str, rows: Tensor) -> None:
        """Take this step's weights into the averages of unique `rows` [n]."""
        state = self._rows[name].index_select(0, rows)
        state[:, :-1].lerp_(self._tables[name].index_select(0, rows), 1 - self._kept)
        state[:, -1] = self._log
        self._rows[name].index_copy_(0, rows, state)

    def end_step(self) -> None:
        """Take this step's dense weights into their average."""
        self._average.lerp_(self._dense, 1 - self._kept)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """While it lasts, the net has the averaged weights."""
        weights = [self._dense, *self._tables.values()]
        averages = [self._average, *(self._caught_up(name, None, self._log)[:, :-1] for name in self._tables)]
        own = [weight.clone() for weight in weights]
        try:
            self._copy(averages, weights)
            yield
        finally:
            self._copy(own, weights)

    def _caught_up(self, name: str, rows: Tensor | None, log: float) -> Tensor:
        """The state of some rows, or of all, after the steps since their last one, in which they did not change."""
        table, state = self._tables[name], self._rows[name]
        weight, state = (table, state.clone()) if rows is None else (table[rows], state.index_select(0, rows))
        kept = (log - state[:, -1:]).exp()
        state[:, :-1] = torch.lerp(weight, state[:, :-1], kept)
        state[:, -1] = log
        return state

    @staticmethod
    @torch.no_grad()
    def _copy(values: list[Tensor], weights: list[Tensor]) -> None:
        for value, weight in zip(values, weights, strict=True):
            weight.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed training needs."""
        return {"steps": self._steps, "log": self._log, "dense": self._average, "rows": self._rows}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load a `state_dict`."""
        self._steps, self._log = saved["steps"], saved["log"]
        self._average = saved["dense"].to(self._dense.device)
        self._rows = {name: rows.to(self._tables[name].device) for name, rows in saved["rows"].items()}
