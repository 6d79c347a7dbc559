"""The population stability index of a column: how far a day's values are from those of the days before.

From the profiles of the days alone (`ncs.features.profile`): numbers by buckets between the trailing days' quantiles,
other values by their hashes. Pure functions, no Spark.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

Profile = Mapping[str, Any]

_MOST = 10
"""Buckets of numbers: deciles."""
_ROWS = 30
"""That either side has at least, and a bucket on average: chance alone adds about one to the index for so many."""


_MERGES: tuple[Callable[[str], str], ...] = (lambda name: f"{int(name) % 16} of 16", lambda _: "few")


def psi(column: str, profile: Profile, trailing: Sequence[Profile]) -> float | None:
    """Sum of (p - q) ln(p / q) over the buckets, half a row more in each; None where there is too little to compare."""
    for kind, compare in (("quantiles", _of_numbers), ("histogram", _of_values)):
        now = profile.get(kind, {}).get(column)
        before = [each[kind][column] for each in trailing if each.get(kind, {}).get(column)]
        if now and before and min(_rows(now), sum(map(_rows, before))) >= _ROWS:
            return compare(now, before)
    return None


def _rows(of: Mapping[str, Any]) -> int:
    return int(of["rows"] if "rows" in of else sum(of.values()))


def _of_numbers(now: Mapping[str, Any], before: Sequence[Mapping[str, Any]]) -> float:
    rows, earlier = now["rows"], sum(each["rows"] for each in before)
    buckets = max(2, min(_MOST, min(rows, earlier) // _ROWS))
    edges = _edges(before, buckets)
    p = [rows * share for share in _shares(now["values"], edges)]
    days = [[each["rows"] * share for share in _shares(each["values"], edges)] for each in before]
    q = [sum(parts) for parts in zip(*days, strict=True)]
    return _index(p, q)


def _edges(before: Sequence[Mapping[str, Any]], buckets: int) -> list[tuple[float, bool]]:
    """Quantiles of the days together: values, and whether the bucket below ends with the value or just before it.

    A value that many rows have is a bucket of its own.
    """
    steps = sorted((value, each["rows"] / len(each["values"])) for each in before for value in each["values"])
    weights: dict[float, float] = {}
    for value, weight in steps:
        weights[value] = weights.get(value, 0.0) + weight
    width, below, last = sum(weights.values()) / buckets, 0.0, 0.0
    edges: list[tuple[float, bool]] = []
    for value, weight in weights.items():  # from the least
        reached = below + weight
        if weight >= width / 2:
            if edges and edges[-1][1] and 0 < below - last < width / 2:
                edges.pop()  # too few rows between it and here
            edges += [(value, False), (value, True)]
            last = reached
        elif reached - last >= 0.98 * width and buckets * width - reached >= width / 2:
            edges.append((value, True))
            last = reached
        below = reached
    return edges


def _shares(quantiles: Sequence[float], edges: Sequence[tuple[float, bool]]) -> list[float]:
    """The share of a day's rows in each bucket."""
    below = [0.0, *(_below(quantiles, *edge) for edge in edges), 1.0]
    return [max(high - low, 0.0) for low, high in pairwise(below)]


def _below(quantiles: Sequence[float], edge: float, inclusive: bool) -> float:
    """The share of rows up to an edge: each quantile stands for as many rows, between two of them they lie evenly."""
    place = (bisect_right if inclusive else bisect_left)(quantiles, edge)
    if place in (0, len(quantiles)) or quantiles[place - 1] == edge or quantiles[place] == edge:
        return place / len(quantiles)
    low, high = quantiles[place - 1] / 2, quantiles[place] / 2  # halves: the whole range may have no difference
    return (place - 0.5 + (edge / 2 - low) / (high - low)) / len(quantiles)


def _of_values(now: Mapping[str, int], before: Sequence[Mapping[str, int]]) -> float:
    """Buckets of few rows are counted together, by 16, and what is still few in one."""
    counts: tuple[Mapping[str, int], ...] = (now, _summed(before))
    least = min(0.5, _ROWS / min(map(_rows, counts)))
    for merge in _MERGES:
        few = {name for name in {**counts[0], **counts[1]} if _share(name, counts) < least}
        counts = tuple(_summed([{merge(name) if name in few else name: n} for name, n in of.items()]) for of in counts)
    return _index(*([of.get(name, 0) for name in {**counts[0], **counts[1]}] for of in counts))


def _share(name: str, counts: Sequence[Mapping[str, int]]) -> float:
    """The larger of the shares that a bucket has of either."""
    return max(of.get(name, 0) / sum(of.values()) for of in counts)


def _summed(before: Sequence[Mapping[str, int]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in before:
        for name, count in each.items():
            counts[name] = counts.get(name, 0) + count
    return counts


def _index(now: Sequence[float], before: Sequence[float]) -> float:
    """Of rows by bucket; those that are empty in both say nothing."""
    pairs = [(p + 0.5, q + 0.5) for p, q in zip(now, before, strict=True) if p > 1e-9 or q > 1e-9]
    all_now, all_before = (sum(of) for of in zip(*pairs, strict=True))
    shares = [(p / all_now, q / all_before) for p, q in pairs]
    return sum((p - q) * math.log(p / q) for p, q in shares)
