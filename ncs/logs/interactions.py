"""Planted worlds: what is clicked and watched hangs on combinations of two context columns, and on nothing else.

A combination has an effect that neither of its columns has alone, so that layers have to be learnt. There are three
kinds of pairs. *Common* ones act on both tasks alike, so what many impressions teach of clicks is true of the few that
are watched; *conflicting* ones act on each task in a way of its own, so what one task learns misleads the other; *own*
ones act on one task alone, as many for each.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ncs.logs.draws import Floats, Ints, normal, uniform

if TYPE_CHECKING:  # workers of Spark start faster without the configuration's machinery
    from ncs.config import Interactions as Wanted


class Interactions:
    """The pairs of a world's seed: context columns `context_1`, `context_2` ..., two a pair."""

    def __init__(self, seed: int, wanted: "Wanted") -> None:
        self._seed, self._values = seed, wanted.values
        kinds = [(True, True, True)] * wanted.common + [(True, True, False)] * wanted.conflicting
        kinds += [(True, False, False), (False, True, False)] * wanted.own
        self._click = [self._table("click", pair) * clicks for pair, (clicks, _, _) in enumerate(kinds)]
        self._watch = [
            (self._click[pair] if alike else self._table("watch", pair)) * watches
            for pair, (_, watches, alike) in enumerate(kinds)
        ]
        self.columns = tuple(f"context_{n + 1}" for n in range(2 * len(kinds)))
        """Their names."""

    def context(self, rows: Ints) -> dict[str, NDArray[Any]]:
        """The columns of impressions [rows], from 1 to `values`, each as often."""
        return {
            name: (1 + np.floor(self._values * uniform(self._seed, name, rows))).astype(np.int32)
            for name in self.columns
        }

    def effects(self, shown: Mapping[str, NDArray[Any]]) -> tuple[Floats, Floats]:
        """What draws a click and what is watched [rows], of mean 0 and variance 1 each."""
        codes = [np.asarray(shown[name], np.int64) - 1 for name in self.columns]
        effects = []
        for tables in (self._click, self._watch):
            acting = sum(bool(table.any()) for table in tables)
            summed = sum(table[codes[2 * pair], codes[2 * pair + 1]] for pair, table in enumerate(tables))
            effects.append(summed / np.sqrt(max(acting, 1)))
        return effects[0], effects[1]

    def _table(self, task: str, pair: int) -> Floats:
        """The effects of a pair's combinations [values, values]: no value of a column has one by itself."""
        numbers = np.arange(self._values)
        drawn = normal(self._seed, f"interaction.{task}", pair, numbers[:, None], numbers)
        drawn = drawn - drawn.mean(axis=0) - drawn.mean(axis=1, keepdims=True) + drawn.mean()
        return drawn / drawn.std()
