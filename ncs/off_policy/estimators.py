"""What a ranking would earn, from logs in which chance chose the videos: replay, IPS, self-normalised IPS.

The policy that is judged: of `candidates` videos drawn at random from the pool, show the one that the ranking puts
first; of several that it puts there alike, any of them at random. Where every video of the pool was as likely to be
shown as any other, each shown one tells of it, as often as the policy would have shown it (inverse propensity scoring;
Horvitz and Thompson 1952), and each set of shown ones is a draw of candidates (replay; Li et al., WSDM 2011). All three
estimate the same number; users are what is independent.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ncs.logs.draws import Floats, Ints
from ncs.simulation.trial import ratio


@dataclass(frozen=True)
class OffPolicy:
    """An estimate of what the policy earns an impression, with its 95 % interval over users.

    `effective` is how many impressions of the policy's own would tell as much: (sum of weights)² / sum of squares.
    """

    estimator: str
    value: float
    low: float
    high: float
    effective: float


def weights(beaten: Ints, others: int, candidates: int) -> Floats:
    """How much more likely the policy shows each logged video than chance did, from 0 to `candidates`.

    Args:
        beaten: how many of the sampled videos of the pool the ranking puts below the logged one, [rows]; those with its
            score in random order with it (`ncs.off_policy.exposed.ranked`): without them the weights sum to too little.
        others: how many were sampled for each row, without replacement and without the logged one.
        candidates: of the policy, at most `others` + 1.

    By the share of sets of `candidates` - 1 sampled videos that the logged one beats: unbiased, however few they are.
    """
    steps = np.arange(candidates - 1)
    return candidates * np.prod(np.maximum(beaten[:, None] - steps, 0) / (others - steps), axis=1)


def estimate(
    users: Ints, rewards: Floats, scores: Floats, weight: Floats, candidates: int, seed: int = 0
) -> list[OffPolicy]:
    """The three estimates, and what chance itself earned (`logged`). NaN where no row tells of the policy.

    Args:
        users: of each logged row, in the order in which they were shown.
        rewards: what it earned.
        scores: where the ranking puts it.
        weight: see `weights`.
        candidates: of the policy. Replay has users with so many rows alone.
        seed: of the order of equal scores in a set of replay.
    """
    _, user = np.unique(users, return_inverse=True)
    ones = np.ones(len(rewards))

    def by_user(values: Floats, of: Ints = user) -> Floats:
        return np.bincount(of, values, minlength=user.max() + 1).astype(np.float64)

    owner, best = _replayed(user, _in_order(scores, seed), candidates)
    shown = np.ones(len(best))
    return [
        _over_users("logged", by_user(rewards), by_user(ones), len(rewards)),
        _over_users("replay", by_user(rewards[best], owner), by_user(shown, owner), len(best)),
        _over_users("ips", by_user(weight * rewards), by_user(ones), _effective(weight)),
        _over_users("snips", by_user(weight * rewards), by_user(weight), _effective(weight)),
    ]


def _in_order(scores: Floats, seed: int) -> Ints:
    """The place of each score [rows] from the lowest; equal ones in random order, not in that in which they came."""
    order = np.lexsort([np.random.default_rng(seed).random(len(scores)), scores])
    places = np.empty(len(scores), np.int64)
    places[order] = np.arange(len(scores))
    return places


def _replayed(user: Ints, scores: Ints, candidates: int) -> tuple[Ints, Ints]:
    """Each user's rows in sets of `candidates`, in their order: whose each set is, and its row with the best score."""
    order = np.argsort(user, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(user[order]) > 0])
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    count = np.bincount(user)[user[order]] // candidates * candidates
    sets = order[place < count].reshape(-1, candidates)
    best = np.take_along_axis(sets, scores[sets].argmax(axis=1)[:, None], axis=1)[:, 0]
    return user[best], best


def _over_users(estimator: str, over: Floats, under: Floats, effective: float) -> OffPolicy:
    if not under.any() or not effective:
        return OffPolicy(estimator, np.nan, np.nan, np.nan, 0.0)
    there = under > 0 if estimator == "replay" else np.ones(len(under), bool)
    value, errors = ratio(over[there], under[there])
    error = errors.std(ddof=1) / np.sqrt(len(errors)) if len(errors) > 1 else np.inf
    half = stats.t.ppf(0.975, max(len(errors) - 1, 1)) * error
    return OffPolicy(estimator, value, float(value - half), float(value + half), float(effective))


def _effective(weight: Floats) -> float:
    return float(weight.sum() ** 2 / max((weight**2).sum(), 1e-300))
