"""Where rankings put randomly shown videos among others of the pool, counted again one by one."""

from collections.abc import Iterable

import numpy as np

from ncs.off_policy.exposed import Exposed, ranked

RNG = np.random.default_rng(8)
POOL, ROWS = 9, 150
LENGTHS = RNG.uniform(5, 60, POOL)


class ByTable:
    """Predictions looked up by user and video."""

    def __init__(self, seed: int) -> None:
        self.table = np.random.default_rng(seed).random((2, 4, POOL + 1))

    def predict(self, ids: np.ndarray, tasks: Iterable[str]) -> dict[str, np.ndarray]:
        """Ids are [user, video]."""
        return {task: self.table[n, ids[:, 0], ids[:, 1]] for n, task in enumerate(tasks)}


def test_every_rival_is_counted_once() -> None:
    """With all others of the pool sampled, chance has nothing to say."""
    users, videos = RNG.integers(0, 4, ROWS), RNG.integers(0, POOL, ROWS)
    shown = Exposed(
        users=users,
        ids=np.stack([users, videos + 1], axis=1),
        videos=videos,
        rewards=np.zeros(ROWS),
        pool_ids=np.arange(1, POOL + 1)[:, None],
        pool_lengths=LENGTHS,
        video_fields=[1],
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
