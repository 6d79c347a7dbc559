"""95 % intervals of figures that have bounds: they stay within them, and hold the truth for few rows and near the ends.

Value plus and minus 1.96 standard errors does neither: near an end the error is itself estimated from the few rows that
are not at the end, and is 0 where there are none. Pure functions, no Spark.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, stdtrit  # scipy.stats takes a second to import


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


Z95 = 1.959963984540054
_MORE_ROWS = 20
"""Rows that a bin of the calibration error borrows from all bins to estimate its noise."""


class Interval(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether a difference is settled."""
        return self.low > 0 or self.high < 0


def auc(value: float, variance: float, pos: float, neg: float) -> Interval:
    """The interval of an area under the ROC curve with DeLong's variance, over at least two rows of either label.

    The areas whose own standard error reaches the value (Newcombe 2006, method 5). His variance of an area is scaled to
    DeLong's, as far as there are rows out of order to estimate that from; without any it is his. Equal scores are
    ordered by nothing: their area is 0.5 without error.
    """
    if variance <= 0 and 0 < value < 1:
        return Interval(value, value)
    most = (pos + neg) / 2 - 1

    def newcombe(area: float) -> float:
        return area * (1 - area) * (1 + most * (1 - area) / (2 - area) + most * area / (1 + area)) / (pos * neg)

    out_of_order = 2 * min(pos, neg) * min(value, 1 - value)
    own = out_of_order / (out_of_order + 2)
    scale = 1 + own * (variance / newcombe(value) - 1) if own else 1.0
    t = _student(pos + neg - 2)
    return Interval(
        *(_farthest(value, end, lambda area: t * math.sqrt(max(scale * newcombe(area), 0.0))) for end in (0.0, 1.0))
    )


def _farthest(value: float, end: float, reach: Callable[[float], float]) -> float:
    """The figure farthest from `value`, towards `end`, whose reach still covers the value; by halving."""
    inside, outside = value, end
    if abs(end - value) <= reach(end):
        return end
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if abs(middle - value) <= reach(middle) else (inside, middle)
    return inside


def mean_of_shares(value: float, error: float, units: float, freedom: float) -> Interval:
    """The interval of a mean of figures within [0, 1] (Wilson 1927), with the standard error that they show.

    Args:
        value: the mean.
        error: its standard error.
        units: of how many independent figures it is. The mean of as many zeros and ones is the least certain, and is
            assumed where the figures show no error.
        freedom: degrees of freedom of the error.
    """
    worst = value * (1 - value) / units
    shown = error**2 if freedom >= 1 else 0.0
    effective = value * (1 - value) / shown if shown > 0 and worst > 0 else units
    square = _student(freedom) ** 2
    centre = (value + square / (2 * effective)) / (1 + square / effective)
    half = math.sqrt(square * (worst * units + square / (4 * effective)) / effective) / (1 + square / effective)
    # Rounding shall not leave the value outside.
    return Interval(max(0.0, min(centre - half, value)), min(1.0, max(centre + half, value)))


def positive_mean(value: float, error: float, n: int) -> Interval:
    """The interval of a mean of non-negative figures: Student's t on the logarithm (delta method)."""
    if value <= 0:
        return Interval(0.0, 0.0)
    factor = math.exp(_student(n - 1) * error / value)  # the error is at most the value: 11 digits at most
    return Interval(value / factor, value * factor)


def rank_correlation(value: float, n: int) -> Interval:
    """The interval of Spearman's: Fisher's z, variance by Bonett and Wright (2000), from 4 rows, good up to 0.95.

    A perfect order counts as half an exchange of two neighbours away from it: z has no end there.
    """
    most = 1 - 6 / (n * (n**2 - 1))
    z = math.atanh(max(-most, min(value, most)))
    half = Z95 * math.sqrt((1 + value**2 / 2) / (n - 3))
    return Interval(min(math.tanh(z - half), value), max(math.tanh(z + half), value))


class Bin(NamedTuple):
    """Predictions of about the same size: how many, mean label and prediction, standard error of the difference."""

    n: int
    label: float
    prediction: float
    error: float


class CalibrationError(NamedTuple):
    """The expected calibration error, debiased, with its standard error and 95 % interval."""

    value: float
    error: float
    interval: Interval


def calibration_error(bins: Sequence[Bin]) -> CalibrationError:
    """The mean distance of labels from predictions over the bins, by rows, debiased.

    The observed distances have a mean above 0 for a perfect model too, by the noise of the bins. So the observed ones
    are shortened, those within the noise to 0 (the garrote; Breiman 1995), until the mean distance that such a model
    would show is the observed one: what is left is the value, 0 where noise alone explains all. The interval's lower
    end is what is left of a model for which the observed mean lies 1.96 standard deviations high. Its upper end is the
    observed mean plus 1.96 standard errors: noise adds to a distance on average and never takes from it.
    """
    n, label, prediction, error = (np.array(column, dtype=float) for column in zip(*bins, strict=True))
    weight, bias = n / n.sum(), prediction - label
    noise = _noise(n, label, prediction, error)
    observed = float(weight @ np.abs(bias))
    whole = float(np.sqrt(((weight * noise) ** 2).sum()))

    distance = np.abs(bias) / noise

    def left(cut: float) -> np.ndarray:
        """The distances, the nearer ones shorter: none is left of one below so many standard errors of its own."""
        return np.abs(bias) * np.maximum(1 - (cut / np.maximum(distance, 1e-12)) ** 2, 0.0)

    def expected(cut: float, deviations: float) -> float:
        """Mean distance that would be observed then, and so many standard deviations more."""
        middle, z = left(cut), left(cut) / noise
        mean = noise * np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2) + middle * (1 - 2 * ndtr(-z))  # folded normal
        variance = np.maximum(middle**2 + noise**2 - mean**2, 0.0)
        return float(weight @ mean + deviations * np.sqrt((weight**2 * variance).sum()))

    most = float(distance.max()) * (1 + 1e-9)
    value, low = (weight @ left(_cut(observed, most, partial(expected, deviations=d))) for d in (0.0, Z95))
    return CalibrationError(float(value), whole, Interval(float(low), min(1.0, observed + Z95 * whole)))


def _noise(n: np.ndarray, label: np.ndarray, prediction: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Standard errors of the bins. That of a few rows alone would be 0 where all of their labels are equal.

    So a bin has some rows more: with the predicted label, and with the share that all bins' variance has of the largest
    that their means allow.
    """
    mean = (n * label + _MORE_ROWS * prediction) / (n + _MORE_ROWS)
    largest, own, freedom = mean * (1 - mean), n * error**2, n - 1
    allowed = freedom @ largest
    share = min(1.0, freedom @ own / allowed) if allowed > 0 else 1.0
    variance = (freedom * own + _MORE_ROWS * share * largest) / (freedom + _MORE_ROWS)
    return np.maximum(np.sqrt(variance / n), 1e-12)


def _cut(observed: float, most: float, expected: Callable[[float], float]) -> float:
    """The least cut from 0 to `most` that leaves no more than the observed distance to be expected; by halving."""
    if expected(most) >= observed:
        return most
    low, high = 0.0, most
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if expected(middle) < observed else (middle, high)
    return high


def _student(freedom: float) -> float:
    return float(stdtrit(max(freedom, 1.0), 0.975))
