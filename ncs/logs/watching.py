"""The share of a video that is watched after a click of the synthetic world: logit-normal, with its mean."""

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.special import expit, ndtri

from ncs.logs.draws import Floats

NOT_PLAYED = 0.01
"""Share of the clicks after which nothing plays."""
_WATCH_NOISE = 2.4  # standard deviation of a watched share's logit
_REPLAY = 1.15  # the most that is watched of a video, in lengths


def root(rising: Callable[[float], float]) -> float:
    """Where a rising function of a logit is 0, by bisection."""
    low, high = -16.0, 16.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return low


def watched_share(logit: Floats, noise: Floats) -> Floats:
    """The watched share, in lengths of the video: logit-normal, stretched to let replays pass 1."""
    return _REPLAY * expit(logit + _WATCH_NOISE * noise)


@cache
def _expected_share() -> tuple[Floats, Floats]:
    """A grid of watch logits, and the mean of min(share, 1) at each, over quantiles of the noise."""
    grid = np.linspace(-15, 15, 601)
    noise = ndtri((np.arange(2000) + 0.5) / 2000)
    return grid, np.minimum(watched_share(grid[:, None], noise), 1.0).mean(axis=1)


def expected_cvr(watch_logit: Floats) -> Floats:
    """The mean of the CVR label after a click, clipping at 1 included, of the centre of the watched share's logit."""
    return (1 - NOT_PLAYED) * np.interp(watch_logit, *_expected_share())
