"""A figure with its standard error: what every metric gives."""

from typing import NamedTuple


class Estimate(NamedTuple):
    """A figure with its standard error, over `n` rows."""

    model: str
    task: str
    metric: str
    value: float
    error: float
    n: int
