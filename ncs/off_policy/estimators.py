"""Off-policy evaluation of a ranking, from logs of randomly shown videos: replay, IPS, self-normalised IPS.

The policy draws `candidates` videos at random from the pool and shows the one that the ranking puts first, with ties
broken at random. If every video of the pool was equally likely to be shown, a logged row is weighted by how likely the
policy shows its video (inverse propensity scoring; Horvitz and Thompson 1952), and a set of logged rows is a draw of
candidates (replay; Li et al., WSDM 2011). All three estimate the same value; users are independent of each other.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ncs.logs.draws import Floats, Ints
from ncs.simulation.trial import ratio


@dataclass(frozen=True)
class OffPolicy:
    """An estimate of the policy's reward for an impression, with its 95 % interval over users.

    `effective` is the effective sample size in impressions: (sum of weights)² / sum of squared weights.
    """

    estimator: str
    value: float
    low: float
    high: float
    effective: float


def weights(beaten: Ints, others: int, candidates: int) -> Floats:
    """The importance weight of each logged row: the policy's probability of its video over that of the logs.

    From 0 to `candidates`.

    Args:
        beaten: how many of the sampled videos of the pool the ranking puts below the logged one, [rows]; ties in random
            order (`ncs.off_policy.exposed.ranked`): without them the weights sum to too little.
        others: how many were sampled for each row, without replacement and without the logged one.
        candidates: of the policy, at most `others` + 1.

    By the share of sets of `candidates` - 1 sampled videos that the logged one beats: unbiased for any number of them.
    """
    steps = np.arange(candidates - 1)
    return candidates * np.prod(np.maximum(beaten[:, None] - steps, 0) / (others - steps), axis=1)


def estimate(
    users: Ints, rewards: Floats, scores: Floats, weight: Floats, candidates: int, seed: int = 0
) -> list[OffPolicy]:
    """The three estimates, and the reward of the logs themselves (`logged`). NaN if the policy shows no logged row.

    Args:
        users: of each logged row, in the order in which they were shown.
        rewards: of each row.
        scores: of each row by the ranking.
        weight: see `weights`.
        candidates: of the policy. Replay uses only users with so many rows.
        seed: of the order of equal scores in a set of replay.
    """
    _, user = np.unique(users, return_inverse=True)
    ones = np.ones(len(rewards))

    def by_user(values: Floats, owners: Ints = user) -> Floats:
        return np.bincount(owners, values, minlength=user.max() + 1).astype(np.float64)

    owner, best = _replayed(user, _in_order(scores, seed), candidates)
    shown = np.ones(len(best))
    return [
        _over_users("logged", by_user(rewards), by_user(ones), len(rewards)),
        _over_users("replay", by_user(rewards[best], owner), by_user(shown, owner), len(best)),
        _over_users("ips", by_user(weight * rewards), by_user(ones), _effective(weight)),
        _over_users("snips", by_user(weight * rewards), by_user(weight), _effective(weight)),
    ]


def _in_order(scores: Floats, seed: int) -> Ints:
    """The rank of each score [rows] from the lowest; equal scores in random order, not in that of the rows."""
    order = np.lexsort([np.random.default_rng(seed).random(len(scores)), scores])
    ranks = np.empty(len(scores), np.int64)
    ranks[order] = np.arange(len(scores))
    return ranks


def _replayed(user: Ints, scores: Ints, candidates: int) -> tuple[Ints, Ints]:
    """Each user's rows in sets of `candidates`, in order: the user of each set, and its row with the best score."""
    order = np.argsort(user, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(user[order]) > 0])
    position = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    count = np.bincount(user)[user[order]] // candidates * candidates
    sets = order[position < count].reshape(-1, candidates)
    best = np.take_along_axis(sets, scores[sets].argmax(axis=1)[:, None], axis=1)[:, 0]
    return user[best], best


def _over_users(estimator: str, numerator: Floats, denominator: Floats, effective: float) -> OffPolicy:
    if not denominator.any() or not effective:
        return OffPolicy(estimator, np.nan, np.nan, np.nan, 0.0)
    used = denominator > 0 if estimator == "replay" else np.ones(len(denominator), bool)
    value, errors = ratio(numerator[used], denominator[used])
    error = errors.std(ddof=1) / np.sqrt(len(errors)) if len(errors) > 1 else np.inf
    half = stats.t.ppf(0.975, max(len(errors) - 1, 1)) * error
    return OffPolicy(estimator, value, float(value - half), float(value + half), float(effective))


def _effective(weight: Floats) -> float:
    return float(weight.sum() ** 2 / max((weight**2).sum(), 1e-300))
