"""Where rankings put the videos that chance has shown, among others of the pool that it drew from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ncs.logs.draws import Floats, Ints
from ncs.simulation.simulation import Scorer
from ncs.tasks import CTR, CVR

_AT_ONCE = 64
"""Rows whose sampled videos are scored together; bounds the memory."""


@dataclass(frozen=True)
class Exposed:
    """Impressions whose videos chance chose, and the pool: ids are in the order of the configured fields.

    `ids` [rows, fields]; `videos` [rows] are positions in the pool; `pool_ids` [pool, video fields] are of the fields
    at the positions `video_fields`; lengths in seconds.
    """

    users: Ints
    ids: Ints
    videos: Ints
    rewards: Floats
    pool_ids: Ints
    pool_lengths: Floats
    video_fields: Sequence[int]


def ranked(
    shown: Exposed, pairs: Sequence[Sequence[str]], scorers: Mapping[str, Scorer], others: int, seed: int
) -> Iterator[tuple[Floats, Ints]]:
    """For each pair of models: `pCTR * pCVR * length` of each row's video, and how many of `others` it beats, [rows].

    The others are drawn from the pool without replacement, the same for every pair. Of videos with equal scores, each
    row has an order of its own at random: a ranking that shows any of them as often as another is judged as that.
    """
    random, lots = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    found: list[list[tuple[Floats, Ints]]] = [[] for _ in pairs]
    for start in range(0, len(shown.users), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        own = shown.videos[rows, None]
        drawn = random.random((len(own), len(shown.pool_lengths)))
        np.put_along_axis(drawn, own, 2.0, axis=1)  # none is its own rival
        lot = lots.random((len(own), others + 1))
        videos = np.concatenate([own, np.argpartition(drawn, others, axis=1)[:, :others]], axis=1)
        ids = np.repeat(shown.ids[rows, None], videos.shape[1], axis=1)
        ids[:, :, shown.video_fields] = shown.pool_ids[videos]
        flat = ids.reshape(-1, ids.shape[2])
        predicted = {name: scorer.predict(flat, (CTR, CVR)) for name, scorer in scorers.items()}
        for (click, watch), parts in zip(pairs, found, strict=True):
            product = (predicted[click][CTR] * predicted[watch][CVR]).reshape(videos.shape)
            scores = product * shown.pool_lengths[videos]
            tied = (scores[:, 1:] == scores[:, :1]) & (lot[:, 1:] < lot[:, :1])
            parts.append((scores[:, 0], ((scores[:, 1:] < scores[:, :1]) | tied).sum(axis=1)))
    for parts in found:
        of_rows, beaten = zip(*parts, strict=True)
        yield np.concatenate(of_rows), np.concatenate(beaten)
