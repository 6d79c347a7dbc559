"""Ranks of randomly shown videos among others of the pool that they were drawn from."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ncs.kinds.arrays import Arrays
from ncs.logs.draws import Floats, Ints
from ncs.simulation.simulation import Scorer
from ncs.tasks import CTR, CVR

_CHUNK = 64
"""Rows whose sampled videos are scored together; bounds the memory."""


@dataclass(frozen=True)
class Exposed:
    """Impressions of randomly shown videos, and the pool.

    `inputs` [rows] are encoded as a model reads them; `videos` [rows] are positions in the pool; `pool` [pool videos]
    are the encoded features of videos alone, which stand in `id_columns` and `number_columns` of the inputs; lengths in
    seconds.
    """

    users: Ints
    inputs: Arrays
    videos: Ints
    rewards: Floats
    pool: Arrays
    pool_lengths: Floats
    id_columns: Sequence[int]
    number_columns: Sequence[int]

    def of_pool(self, rows: slice, videos: Ints) -> Arrays:
        """The inputs of some rows with other videos [rows, videos] in their place, [rows * videos]."""
        ids, numbers = (np.repeat(block[rows, None], videos.shape[1], axis=1) for block in self.inputs)
        ids[:, :, self.id_columns] = self.pool.ids[videos]
        numbers[:, :, self.number_columns] = self.pool.numbers[videos]
        return Arrays(*(block.reshape(videos.size, block.shape[2]) for block in (ids, numbers)))


def ranked(
    shown: Exposed, pairs: Sequence[Sequence[str]], scorers: Mapping[str, Scorer], others: int, seed: int
) -> Iterator[tuple[Floats, Ints]]:
    """For each pair of models: `pCTR * pCVR * length` of each row's video, and how many of `others` it beats, [rows].

    The others are drawn from the pool without replacement, the same for every pair. Equal scores are in a random order
    of each row: so a ranking with ties is judged as showing any of them equally often.
    """
    random, tie_breaks = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    chunks: list[list[tuple[Floats, Ints]]] = [[] for _ in pairs]
    for start in range(0, len(shown.users), _CHUNK):
        rows = slice(start, start + _CHUNK)
        own = shown.videos[rows, None]
        drawn = random.random((len(own), len(shown.pool_lengths)))
        np.put_along_axis(drawn, own, 2.0, axis=1)  # never sampled beside itself
        order = tie_breaks.random((len(own), others + 1))
        videos = np.concatenate([own, np.argpartition(drawn, others, axis=1)[:, :others]], axis=1)
        inputs = shown.of_pool(rows, videos)
        predicted = {name: scorer.predict(*inputs, (CTR, CVR)) for name, scorer in scorers.items()}
        for (click, watch), of_pair in zip(pairs, chunks, strict=True):
            product = (predicted[click][CTR] * predicted[watch][CVR]).reshape(videos.shape)
            scores = product * shown.pool_lengths[videos]
            tied = (scores[:, 1:] == scores[:, :1]) & (order[:, 1:] < order[:, :1])
            of_pair.append((scores[:, 0], ((scores[:, 1:] < scores[:, :1]) | tied).sum(axis=1)))
    for of_pair in chunks:
        scored, beaten = zip(*of_pair, strict=True)
        yield np.concatenate(scored), np.concatenate(beaten)
