"""Hyper-parameter search, the same for every model: the same tries, the same seed, by validation alone."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from ncs.config import Config
from ncs.runs.run import Run

SEED_APART = 100_003
"""Added to the seed, so that tries have none of the seeds that are reported."""


def tune(conf: Config, trained: Callable[[Config], Run]) -> Config:
    """The configuration in which each of `train.models` has the keys of its best try by validation skill.

    `trained` trains the models of a configuration that are not trained yet.
    """
    if conf.compare.tries == 1:
        return conf
    candidates = {name: tries(conf, name) for name in conf.train.models}
    apart = conf.with_keys({"train.seed": conf.train.seed + SEED_APART})
    scores: dict[str, list[float]] = {name: [] for name in candidates}
    for n in range(max(map(len, candidates.values()))):
        # A model whose space is used up is the first try again, which is trained already.
        overrides = {name: own[n] if n < len(own) else {} for name, own in candidates.items()}
        run = trained(with_tries(apart, overrides))
        for name, skills in scores.items():
            skills.append(run.facts(name).skill)
    best = {name: int(np.argmax(skills[: len(candidates[name])])) for name, skills in scores.items()}
    return with_tries(conf, {name: candidates[name][n] for name, n in best.items()})


def tries(conf: Config, model: str) -> list[dict[str, Any]]:
    """The keys that each try of a model sets: none for the first, then points of its space, each once.

    The points are in a seeded order, the same for all models of one space.
    """
    space = conf.models[model].space or conf.compare.space
    points = [dict(zip(space, values, strict=True)) for values in product(*space.values())]
    order = np.random.default_rng(conf.train.seed).permutation(len(points))
    return [{}, *(points[n] for n in order[: conf.compare.tries - 1])]


def with_tries(conf: Config, chosen: dict[str, dict[str, Any]]) -> Config:
    """The configuration with more keys set for some models of the catalogue."""
    return conf.with_keys(
        {
            f"models.{name}": {
                "module": conf.models[name].module or name,
                "set": {**conf.models[name].set, **overrides},
                "space": conf.models[name].space,
            }
            for name, overrides in chosen.items()
            if overrides
        }
    )
