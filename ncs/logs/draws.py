"""Random numbers that are functions of what they are drawn for: a seed, the name of a stream, and ids.

The ids are mixed into 64 bits by the finaliser of SplitMix64 (Steele, Lea, Flood; OOPSLA 2014). There is no
state, so neither the order of the draws nor their partition over processes can change a number.
"""

import hashlib
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def uniform(seed: int, stream: str, *ids: ArrayLike) -> Floats:
    """A uniform number in (0, 1) for each tuple of ids; the ids broadcast against each other."""
    bits = np.asarray(_start(seed, stream), np.uint64)
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is what is meant
        for each in ids:
            bits = _mix((bits ^ np.asarray(each, np.int64).view(np.uint64)) + np.uint64(0x9E3779B97F4A7C15))
    return ((bits >> np.uint64(11)) + 0.5) * 2.0**-53


def normal(seed: int, stream: str, *ids: ArrayLike) -> Floats:
    """A standard normal number for each tuple of ids."""
    return ndtri(uniform(seed, stream, *ids))


def choice(seed: int, stream: str, shares: tuple[float, ...], *ids: ArrayLike) -> Ints:
    """A position in `shares`, which sum to 1, for each tuple of ids, as often as its share says."""
    return np.searchsorted(np.cumsum(shares)[:-1], uniform(seed, stream, *ids), side="right")


@cache
def _start(seed: int, stream: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest(), "little")


def _mix(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
