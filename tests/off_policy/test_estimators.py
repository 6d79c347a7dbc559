"""Estimates from randomly shown videos, held against a pool whose true value is known."""

from math import comb

import numpy as np
import pytest

from ncs.off_policy.estimators import OffPolicy, estimate, weights

POOL, CANDIDATES, SHOWN = 200, 5, 20
RNG = np.random.default_rng(3)
SCORES = RNG.normal(size=POOL)
WORTH = 10 + 3 * SCORES + 4 * RNG.normal(size=POOL)
"""Mean reward of each video: the ranking knows part of it."""

BELOW = np.argsort(np.argsort(SCORES))
SHARES = np.array([comb(int(below), CANDIDATES - 1) / comb(POOL, CANDIDATES) for below in BELOW])
TRUE = float(SHARES @ WORTH)
"""Each video is shown where the others of its set are among those that it beats."""


def logged(users: int, others: int | None, seed: int) -> list[OffPolicy]:
    """Each user is shown videos of chance, none twice, and earns more or less by nature."""
    random = np.random.default_rng(seed)
    videos = random.permuted(np.tile(np.arange(POOL), (users, 1)), axis=1)[:, :SHOWN].ravel()
    user = np.repeat(np.arange(users), SHOWN)
    rewards = WORTH[videos] + np.repeat(random.normal(0, 2, users), SHOWN) + random.normal(0, 3, len(videos))
    if others is None:
        beaten, others = BELOW[videos], POOL - 1
    else:
        sampled = np.argsort(random.random((len(videos), POOL - 1)), axis=1)[:, :others]
        sampled += sampled >= videos[:, None]  # any but the logged one
        beaten = (SCORES[sampled] < SCORES[videos][:, None]).sum(1)
    return estimate(user, rewards, SCORES[videos], weights(beaten, others, CANDIDATES), CANDIDATES)


@pytest.mark.parametrize("others", [None, 12])
def test_intervals_hold_the_true_value(others: int | None) -> None:
    """Of 300 logs, some 95 % have the truth inside; also where a few of the pool's videos are sampled for each row."""
    inside = dict.fromkeys(("replay", "ips", "snips"), 0)
    values: dict[str, list[float]] = {name: [] for name in inside}
    for seed in range(300):
        for one in logged(60, others, seed)[1:]:
            inside[one.estimator] += one.low <= TRUE <= one.high
            values[one.estimator].append(one.value)
    assert TRUE - WORTH.mean() > 2, "the ranking is worth something"
    for name, found in values.items():
        assert np.mean(found) == pytest.approx(TRUE, abs=4 * np.std(found) / np.sqrt(300) + 0.02), name
        assert 0.91 < inside[name] / 300 < 0.985, name
    assert np.std(values["snips"]) < np.std(values["ips"])


def test_weights_are_those_of_the_policy() -> None:
    exact = weights(BELOW, POOL - 1, CANDIDATES)
    assert exact.mean() == pytest.approx(1.0)
    assert exact.max() == CANDIDATES
    assert exact == pytest.approx(POOL * SHARES)


def test_a_ranking_of_chance_earns_what_was_logged() -> None:
    users, rewards = np.repeat(np.arange(50), 10), RNG.normal(5, 1, 500)
    base, replay, ips, snips = estimate(users, rewards, RNG.random(500), np.ones(500), 2)
    assert (ips.value, ips.low, ips.effective) == (base.value, base.low, 500)
    assert snips.value == base.value == pytest.approx(rewards.mean())
    assert (replay.effective, replay.low < 5 < replay.high) == (250, True)


def test_replay_picks_the_best_of_each_set() -> None:
    """Two sets of user 7, one of user 3 (whose last row is over), none of user 5."""
    users = np.array([7, 3, 7, 7, 5, 3, 7, 3])
    scores = np.array([0.1, 0.9, 0.2, 0.8, 1.0, 0.3, 0.7, 1.0])
    rewards = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0])
    replay = estimate(users, rewards, scores, np.ones(8), 2)[1]
    assert (replay.value, replay.effective) == (pytest.approx((4.0 + 8.0 + 2.0) / 3), 3)
    nothing = estimate(users, rewards, scores, np.ones(8), 9)[1]
    assert np.isnan(nothing.value)
    assert nothing.effective == 0


def test_rows_that_tell_nothing_of_the_policy_give_no_figure() -> None:
    for one in estimate(np.repeat([1, 2], 2), np.ones(4), np.ones(4), np.zeros(4), 3)[2:]:
        assert np.isnan(one.value)
        assert one.effective == 0
