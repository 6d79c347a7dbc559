"""The statistics of an A/B test, held against cases whose answer is known."""

import numpy as np
import pytest

from ncs.simulation.trial import arm_of, between, bucket_of, ratio, sample_ratio, within

RNG = np.random.default_rng(5)


def test_every_arm_has_as_many_buckets_and_every_bucket_its_users() -> None:
    arms = arm_of(70, 7, seed=3)
    assert np.bincount(arms).tolist() == [10] * 7
    users = np.arange(70_000)
    counts = np.bincount(bucket_of(users, 70, seed=3), minlength=70)
    assert counts.sum() == 70_000
    assert counts.min() > 800
    assert (bucket_of(users, 70, seed=3) == bucket_of(users, 70, seed=3)).all()


def test_the_error_of_a_mean_is_the_known_one() -> None:
    values = np.array([1.0, 2.0, 3.0, 6.0])
    whole, errors = ratio(values, np.ones(4))
    assert whole == 3.0
    assert np.allclose(errors, values - 3.0)
    found = within((values + 1, np.ones(4)), (values, np.ones(4)))
    assert (found.gain, found.low, found.high) == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_intervals_hold_what_they_promise() -> None:
    """Of A/A tests with ratios, 95 % hold 0 at the end; of those that are looked at ten times, at least as many."""
    inside, always = 0, 0
    for _ in range(600):
        under = RNG.poisson(30, (2, 40, 10)).astype(float)
        over = under * RNG.normal(2, 0.15, (2, 40, 1)) + RNG.normal(0, 3, (2, 40, 10))
        looks = []
        for day in range(1, 11):
            one, other = ((over[n, :, :day].sum(1), under[n, :, :day].sum(1)) for n in (0, 1))
            looks.append(between(one, other))
        inside += looks[-1].low <= 0 <= looks[-1].high
        always += all(abs(look.gain) <= look.any_day for look in looks)
    assert 0.92 < inside / 600 < 0.98
    assert always / 600 > 0.95


def test_a_broken_split_is_seen() -> None:
    assert sample_ratio([1000, 1010, 990], [1 / 3] * 3) > 0.5
    assert sample_ratio([1000, 1200, 800], [1 / 3] * 3) < 1e-6
