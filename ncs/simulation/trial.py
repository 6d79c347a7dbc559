"""An A/B test of rankings: users in buckets, buckets in arms, ratios with intervals, also for a test on every day.

A bucket is the unit: visits of one user are not independent of each other. Ratios are linearised (delta method), arms
are compared by Welch's t over their buckets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ncs.logs.draws import Floats, Ints, uniform

METRICS = {"view_seconds": ("seconds", "visits"), "cvr": ("watched", "clicks"), "ctr": ("clicks", "shown")}
"""A metric is a ratio of two sums: seconds viewed a visit, mean CVR label of the clicks, clicks a video shown."""

_LEVEL = 0.05
_ENOUGH = 5
"""Users that each arm should have at least for the chi-squared distribution."""
_DRAWS = 9999


@dataclass(frozen=True)
class Estimate:
    """A difference from the reference, as a share of the reference's figure, with its 95 % interval.

    `any_day` is the half width of an interval that is valid on all days at once: a test that is repeated every day and
    stopped when 0 is outside errs in at most 5 % of cases.
    """

    gain: float
    low: float
    high: float
    any_day: float


def assign_buckets(users: Ints, buckets: int, seed: int) -> Ints:
    """The bucket of each user, by a hash of the id."""
    return (uniform(seed, "bucket", users) * buckets).astype(np.int64)


def assign_arms(buckets: int, arms: int, seed: int) -> Ints:
    """The arm of each bucket: equally many buckets for each arm, in random order."""
    order = np.argsort(uniform(seed, "arm", np.arange(buckets)))
    return (np.argsort(order) % arms).astype(np.int64)


def ratio(numerator: Floats, denominator: Floats) -> tuple[float, Floats]:
    """The ratio of two sums over buckets, and each bucket's contribution to its error (their mean is 0)."""
    total = float(numerator.sum() / denominator.sum())
    return total, (numerator - total * denominator) / denominator.mean()


def welch_difference(arm: tuple[Floats, Floats], reference: tuple[Floats, Floats]) -> Estimate | None:
    """The difference of two arms with separate buckets, by Welch's t; an arm is numerator and denominator by bucket.

    None where there is no such figure: fewer than two buckets, a denominator of 0, or a reference of 0.
    """
    if not _comparable(arm, reference):
        return None
    (value, errors), (base, base_errors) = ratio(*arm), ratio(*reference)
    variances = [by_bucket.var(ddof=1) / len(by_bucket) for by_bucket in (errors, base_errors)]
    error = float(np.sqrt(sum(variances)))
    counts = (len(errors), len(base_errors))
    squares = sum(variance**2 / (count - 1) for variance, count in zip(variances, counts, strict=True))
    freedom = sum(variances) ** 2 / squares if squares else 1.0
    return _estimate(value - base, error, float(freedom), base)


def paired_difference(arm: tuple[Floats, Floats], reference: tuple[Floats, Floats]) -> Estimate | None:
    """The difference of two rankings on the same buckets, which only simulations allow; None as `welch_difference`."""
    if not _comparable(arm, reference):
        return None
    (value, errors), (base, base_errors) = ratio(*arm), ratio(*reference)
    paired = errors - base_errors
    return _estimate(value - base, float(paired.std(ddof=1) / np.sqrt(len(paired))), len(paired) - 1.0, base)


def _comparable(arm: tuple[Floats, Floats], reference: tuple[Floats, Floats]) -> bool:
    enough = min(len(arm[1]), len(reference[1])) > 1
    return bool(enough and arm[1].sum() and reference[1].sum() and reference[0].sum())


def bucket_shares(assigned: Ints, arms: int) -> Floats:
    """The share of the users that each arm should get: its share of the buckets, which users get equally likely."""
    return np.bincount(assigned, minlength=arms) / len(assigned)


def sample_ratio(users: Sequence[int], shares: Sequence[float] | Floats, seed: int = 0) -> float:
    """The p value of as uneven a split of the users over the arms as this, if the split is as it should be.

    A user's bucket is a hash of the id, so that users get an arm independently, with the arm's share of the buckets as
    probability: counts are multinomial. `shares` have to be those of the buckets, not of the users, which would
    hide the deviation that is tested for. By Pearson's chi-squared; with few users by 9999 seeded draws instead.
    """
    counts, total = np.asarray(users), int(sum(users))
    expected = np.asarray(shares) * total
    if not total or (counts[expected == 0] > 0).any():
        return 0.0 if total else 1.0
    counts, expected = counts[expected > 0], expected[expected > 0]
    if len(counts) < 2:
        return 1.0
    if expected.min() >= _ENOUGH:
        return float(stats.chisquare(counts, expected).pvalue)
    drawn = np.random.default_rng(seed).multinomial(total, expected / total, _DRAWS)
    uneven = ((drawn - expected) ** 2 / expected).sum(axis=1) >= ((counts - expected) ** 2 / expected).sum() - 1e-9
    return float((1 + uneven.sum()) / (1 + _DRAWS))


def _estimate(difference: float, error: float, freedom: float, base: float) -> Estimate:
    half = float(stats.t.ppf(1 - _LEVEL / 2, freedom)) * error if error else 0.0
    gain, half, error = difference / base, half / base, error / base
    return Estimate(gain, gain - half, gain + half, _any_day(error))


def _any_day(error: float) -> float:
    """Half width of a confidence sequence: the mixture of likelihood ratios over effects of some 1 %.

    Robbins 1970; Johari, Pekelis, Walsh 2015, equation 11: valid at every look together, for an estimate whose error
    is normal.
    """
    if not error:
        return 0.0
    prior, variance = 0.01**2, error**2
    total = variance + prior
    return float(np.sqrt(variance * total / prior * np.log(total / (_LEVEL**2 * variance))))
