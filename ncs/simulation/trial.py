"""An A/B test of rankings: users in buckets, buckets in arms, ratios with intervals, looks on every day.

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

    `any_day` is the half width that holds on all days at once: whoever looks every day and stops when 0 is outside
    errs in at most 5 % of the tests.
    """

    gain: float
    low: float
    high: float
    any_day: float


def bucket_of(users: Ints, buckets: int, seed: int) -> Ints:
    """The bucket of each user, by a hash of the id."""
    return (uniform(seed, "bucket", users) * buckets).astype(np.int64)


def arm_of(buckets: int, arms: int, seed: int) -> Ints:
    """The arm of each bucket: as many buckets for each, in an order of chance."""
    order = np.argsort(uniform(seed, "arm", np.arange(buckets)))
    return (np.argsort(order) % arms).astype(np.int64)


def ratio(over: Floats, under: Floats) -> tuple[float, Floats]:
    """The ratio of two sums over buckets, and what each bucket adds to its error (their mean is 0)."""
    whole = float(over.sum() / under.sum())
    return whole, (over - whole * under) / under.mean()


def between(mine: tuple[Floats, Floats], reference: tuple[Floats, Floats]) -> Estimate | None:
    """Two arms with buckets of their own; each is the sums above and below the ratio, by bucket.

    None where there is no such figure: less than two buckets, a ratio of nothing, or a reference of 0.
    """
    if not _comparable(mine, reference):
        return None
    (here, errors), (there, others) = ratio(*mine), ratio(*reference)
    parts = [one.var(ddof=1) / len(one) for one in (errors, others)]
    error = float(np.sqrt(sum(parts)))
    squares = sum(part**2 / (len(one) - 1) for part, one in zip(parts, (errors, others), strict=True))
    freedom = sum(parts) ** 2 / squares if squares else 1.0
    return _estimate(here - there, error, float(freedom), there)


def within(mine: tuple[Floats, Floats], reference: tuple[Floats, Floats]) -> Estimate | None:
    """Two rankings answered by the same buckets, which a simulation can do and a platform cannot; None as `between`."""
    if not _comparable(mine, reference):
        return None
    (here, errors), (there, others) = ratio(*mine), ratio(*reference)
    apart = errors - others
    return _estimate(here - there, float(apart.std(ddof=1) / np.sqrt(len(apart))), len(apart) - 1.0, there)


def _comparable(mine: tuple[Floats, Floats], reference: tuple[Floats, Floats]) -> bool:
    enough = min(len(mine[1]), len(reference[1])) > 1
    return bool(enough and mine[1].sum() and reference[1].sum() and reference[0].sum())


def bucket_shares(assigned: Ints, arms: int) -> Floats:
    """The share of the users that each arm should get: that of the buckets, for a user is as likely in each of them."""
    return np.bincount(assigned, minlength=arms) / len(assigned)


def sample_ratio(users: Sequence[int], shares: Sequence[float] | Floats, seed: int = 0) -> float:
    """The p value of as uneven a split of the users over the arms as this, if the split is as it should be.

    A user's bucket is a hash of the id, so that each user falls to an arm by himself, with the arm's share of the
    buckets: counts are multinomial. `shares` have to be those, not how many users have fallen to each arm, which would
    take out of the counts the chance that they are tested for. Pearson's chi-squared; with few users by 9999 seeded
    draws instead.
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
    spread, variance = 0.01**2, error**2
    whole = variance + spread
    return float(np.sqrt(variance * whole / spread * np.log(whole / (_LEVEL**2 * variance))))
