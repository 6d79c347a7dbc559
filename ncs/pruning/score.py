"""Scores that rank a task's connections: the higher, the more the task needs them."""

from collections.abc import Callable, Mapping

from torch import Tensor

Score = Callable[[Tensor, Tensor], Tensor]
"""Trained weight, the same weight in theta -> score, all of one shape."""


def magnitude(weight: Tensor, theta: Tensor) -> Tensor:
    """|w|: iterative magnitude pruning, as in the paper (Algorithm 1, line 7)."""
    return weight.abs()


def movement(weight: Tensor, theta: Tensor) -> Tensor:
    """w * (w - theta): a connection counts if the task made it grow in its own direction."""
    return weight * (weight - theta)


SCORES: Mapping[str, Score] = {"magnitude": magnitude, "movement": movement}
