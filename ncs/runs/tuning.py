"""The same small search for every model: the same tries, the same seed, validation alone."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from ncs.config import Compare, Config
from ncs.runs.run import Run

SEED_APART = 100_003
"""How far the seed of the tries is from the first that is reported."""


def tune(conf: Config, trained: Callable[[Config], Run]) -> Config:
    """The configuration in which each of `train.models` has the keys of the try that did best for it on validation.

    `trained` trains a configuration's models, unless they are there.
    """
    candidates = tries(conf.compare, conf.train.seed)
    if len(candidates) == 1:
        return conf
    apart = conf.with_keys({"train.seed": conf.train.seed + SEED_APART})
    scores: dict[str, list[float]] = {name: [] for name in conf.train.models}
    for overrides in candidates:
        run = trained(with_tries(apart, dict.fromkeys(scores, overrides)))
        for name, found in scores.items():
            found.append(run.facts(name)["skill"])
    return with_tries(conf, {name: candidates[int(np.argmax(found))] for name, found in scores.items()})


def tries(conf: Compare, seed: int) -> list[dict[str, Any]]:
    """Keys that the tries set: none for the first, then points of `conf.space` in a seeded order, each once."""
    every = [dict(zip(conf.space, values, strict=True)) for values in product(*conf.space.values())]
    order = np.random.default_rng(seed).permutation(len(every))
    return [{}, *(every[n] for n in order[: conf.tries - 1])]


def with_tries(conf: Config, chosen: dict[str, dict[str, Any]]) -> Config:
    """The configuration with further keys set for some models of the catalogue."""
    return conf.with_keys(
        {
            f"models.{name}": {
                "module": conf.models[name].module or name,
                "set": {**conf.models[name].set, **overrides},
            }
            for name, overrides in chosen.items()
            if overrides
        }
    )
