"""The statistics of an A/B test, held against cases whose answer is known."""

import numpy as np
import pytest
from scipy import stats

from ncs.simulation.trial import (
    assign_arms,
    assign_buckets,
    bucket_shares,
    paired_difference,
    ratio,
    sample_ratio,
    welch_difference,
)

RNG = np.random.default_rng(5)


def test_every_arm_has_as_many_buckets_and_every_bucket_its_users() -> None:
    arms = assign_arms(70, 7, seed=3)
    assert np.bincount(arms).tolist() == [10] * 7
    users = np.arange(70_000)
    counts = np.bincount(assign_buckets(users, 70, seed=3), minlength=70)
    assert counts.sum() == 70_000
    assert counts.min() > 800
    assert (assign_buckets(users, 70, seed=3) == assign_buckets(users, 70, seed=3)).all()


def test_the_error_of_a_mean_is_the_known_one() -> None:
    values = np.array([1.0, 2.0, 3.0, 6.0])
    whole, errors = ratio(values, np.ones(4))
    assert whole == 3.0
    assert np.allclose(errors, values - 3.0)
    found = paired_difference((values + 1, np.ones(4)), (values, np.ones(4)))
    assert found is not None
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
            look = welch_difference(one, other)
            assert look is not None
            looks.append(look)
        inside += looks[-1].low <= 0 <= looks[-1].high
        always += all(abs(look.gain) <= look.any_day for look in looks)
    assert 0.92 < inside / 600 < 0.98
    assert always / 600 > 0.95


def test_a_broken_split_is_seen() -> None:
    assert sample_ratio([1000, 1010, 990], [1 / 3] * 3) > 0.5
    assert sample_ratio([1000, 1200, 800], [1 / 3] * 3) < 1e-6


@pytest.mark.parametrize("users", [40, 3000])
def test_p_values_of_whole_splits_are_uniform(users: int) -> None:
    """Of 400 A/A tests with other seeds, one of twenty is below 0.05; few users have few possible counts."""
    ids, found = np.arange(users), []
    for seed in range(400):
        assigned = assign_arms(70, 7, seed)
        counts = np.bincount(assigned[assign_buckets(ids, 70, seed)], minlength=7)
        found.append(sample_ratio(counts.tolist(), bucket_shares(assigned, 7)))
    values = np.array(found)
    assert 0.03 <= (values < 0.05).mean() <= 0.075
    assert stats.kstest(values, "uniform").pvalue > 0.01
    assert np.mean(values) == pytest.approx(0.5, abs=0.05)


def test_a_split_that_loses_users_of_an_arm_is_seen() -> None:
    """A tenth of one arm's visitors is not logged; of 100 tests nearly all say so."""
    ids, seen = np.arange(15_000), 0
    for seed in range(100):
        random, assigned = np.random.default_rng(seed), assign_arms(70, 7, seed)
        arms = assigned[assign_buckets(ids, 70, seed)]
        counts = np.bincount(arms[(arms != 2) | (random.random(len(arms)) > 0.1)], minlength=7)
        seen += sample_ratio(counts.tolist(), bucket_shares(assigned, 7)) < 0.05
    assert seen >= 80


def test_arms_of_unequal_numbers_of_buckets_have_their_shares() -> None:
    assigned = assign_arms(10, 3, seed=1)
    assert sorted(bucket_shares(assigned, 3)) == pytest.approx([0.3, 0.3, 0.4])
    assert sample_ratio([300, 300, 400], [0.3, 0.3, 0.4]) == pytest.approx(1.0)
    assert sample_ratio([0, 0], [0.5, 0.5]) == 1.0
    assert sample_ratio([3, 1], [1.0, 0.0]) == 0.0
    assert sample_ratio([3, 0], [1.0, 0.0]) == 1.0


def test_what_cannot_be_compared_has_no_estimate() -> None:
    some, none = (np.ones(4), np.full(4, 2.0)), (np.zeros(4), np.zeros(4))
    for mine, reference in ((none, some), (some, none), (some, (np.zeros(4), np.ones(4)))):
        assert welch_difference(mine, reference) is None
        assert paired_difference(mine, reference) is None
    assert welch_difference((np.ones(1), np.ones(1)), some) is None
    alike = welch_difference(some, some)
    assert alike is not None
    assert (alike.gain, alike.low, alike.high, alike.any_day) == (0, 0, 0, 0), "no variance at all"
