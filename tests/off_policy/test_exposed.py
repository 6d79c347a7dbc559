"""Where rankings put randomly shown videos among others of the pool, counted again one by one."""

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pytest

from ncs.kinds.arrays import Arrays
from ncs.off_policy.estimators import estimate, weights
from ncs.off_policy.exposed import Exposed, ranked

RNG = np.random.default_rng(8)
POOL, ROWS = 9, 150
LENGTHS = RNG.uniform(5, 60, POOL)


def only_ids(ids: np.ndarray) -> Arrays:
    return Arrays(ids, np.empty((len(ids), 0), np.float32))


class ByTable:
    """Predictions looked up by user and video."""

    def __init__(self, seed: int) -> None:
        self.table = np.random.default_rng(seed).random((2, 4, POOL + 1))

    def predict(self, ids: np.ndarray, numbers: np.ndarray, tasks: Iterable[str]) -> dict[str, np.ndarray]:
        """Ids are [user, video]."""
        return {task: self.table[n, ids[:, 0], ids[:, 1]] for n, task in enumerate(tasks)}


def test_every_rival_is_counted_once() -> None:
    """With all others of the pool sampled, chance has nothing to say."""
    users, videos = RNG.integers(0, 4, ROWS), RNG.integers(0, POOL, ROWS)
    shown = Exposed(
        users=users,
        inputs=only_ids(np.stack([users, videos + 1], axis=1)),
        videos=videos,
        rewards=np.zeros(ROWS),
        pool=only_ids(np.arange(1, POOL + 1)[:, None]),
        pool_lengths=LENGTHS,
        id_columns=[1],
        number_columns=[],
    )
    scorers = {"one": ByTable(1), "two": ByTable(2)}
    pairs = [("one", "one"), ("one", "two")]
    for (click, watch), (scores, beaten) in zip(pairs, ranked(shown, pairs, scorers, POOL - 1, seed=3), strict=True):
        whole = scorers[click].table[0, users, 1:] * scorers[watch].table[1, users, 1:] * LENGTHS
        own = whole[np.arange(ROWS), videos]
        assert np.allclose(scores, own)
        assert (beaten == (whole < own[:, None]).sum(1)).all()
    few = next(beaten for _, beaten in ranked(shown, pairs[:1], scorers, 3, seed=3))
    assert few.max() <= 3
    assert 0.3 < np.mean(few / 3) < 0.7


class Rounded(ByTable):
    """So few values that most videos have the same score."""

    def __init__(self, values: int) -> None:
        super().__init__(1)
        self.table = np.ceil(self.table * values) / values


@pytest.mark.parametrize("values", [1, 2])
def test_estimates_are_unbiased_where_scores_are_tied(values: int) -> None:
    """The policy shows any of the best at random: its value is that of all orders of tied videos, by enumeration."""
    candidates, scorer, worth = 3, Rounded(values), np.random.default_rng(2).uniform(5, 20, POOL)
    scores = scorer.table[0, 0, 1:] * scorer.table[1, 0, 1:]
    sets = list(combinations(range(POOL), candidates))
    best = [[video for video in of if scores[video] == scores[list(of)].max()] for of in sets]
    truth = np.mean([worth[videos].mean() for videos in best])
    found: dict[str, list[float]] = {"replay": [], "ips": [], "snips": []}
    for seed in range(60):
        random = np.random.default_rng(seed)
        videos = random.permuted(np.tile(np.arange(POOL), (40, 1)), axis=1)[:, :6].ravel()
        late = np.tile(np.arange(6), 40)  # later ones earn more, which is no merit of a video
        shown = Exposed(
            users=np.repeat(np.arange(40), 6),
            inputs=only_ids(np.stack([np.zeros(240, int), videos + 1], axis=1)),
            videos=videos,
            rewards=worth[videos] + late - late.mean(),
            pool=only_ids(np.arange(1, POOL + 1)[:, None]),
            pool_lengths=np.ones(POOL),
            id_columns=[1],
            number_columns=[],
        )
        ((own, beaten),) = ranked(shown, [("x", "x")], {"x": scorer}, POOL - 1, seed)
        weight = weights(beaten, POOL - 1, candidates)
        assert weight.mean() == pytest.approx(1.0, abs=0.3)
        for one in estimate(shown.users, shown.rewards, own, weight, candidates, seed)[1:]:
            found[one.estimator].append(one.value)
    for name, of in found.items():
        assert np.mean(of) == pytest.approx(truth, abs=3.5 * np.std(of) / np.sqrt(len(of)) + 0.02), name
