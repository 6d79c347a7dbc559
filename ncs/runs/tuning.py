"""Hyper-parameter search, the same for every model: the same tries, the same seed, by validation alone."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from ncs.config import Compare, Config
from ncs.runs.run import Run

SEED_APART = 100_003
"""Added to the seed, so that tries have none of the seeds that are reported."""


def tune(conf: Config, trained: Callable[[Config], Run]) -> Config:
    """The configuration in which each of `train.models` has the keys of its best try by validation skill.

    `trained` trains the models of a configuration that are not trained yet.
    """
    candidates = tries(conf.compare, conf.train.seed)
    if len(candidates) == 1:
        return conf
    apart = conf.with_keys({"train.seed": conf.train.seed + SEED_APART})
    scores: dict[str, list[float]] = {name: [] for name in conf.train.models}
    for overrides in candidates:
        run = trained(with_tries(apart, dict.fromkeys(scores, overrides)))
        for name, skills in scores.items():
            skills.append(run.facts(name).skill)
    return with_tries(conf, {name: candidates[int(np.argmax(skills))] for name, skills in scores.items()})


def tries(conf: Compare, seed: int) -> list[dict[str, Any]]:
    """The keys that each try sets: none for the first, then points of `conf.space` in a seeded order, each once."""
    points = [dict(zip(conf.space, values, strict=True)) for values in product(*conf.space.values())]
    order = np.random.default_rng(seed).permutation(len(points))
    return [{}, *(points[n] for n in order[: conf.tries - 1])]


def with_tries(conf: Config, chosen: dict[str, dict[str, Any]]) -> Config:
    """The configuration with more keys set for some models of the catalogue."""
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
