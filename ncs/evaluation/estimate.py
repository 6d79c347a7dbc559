"""A figure with its standard error and interval: what every metric gives."""

from typing import NamedTuple


class Estimate(NamedTuple):
    """A figure over `n` rows, with its standard error and its 95 % interval, which lies within the figure's bounds."""

    model: str
    task: str
    metric: str
    value: float
    error: float
    n: int
    low: float
    high: float
