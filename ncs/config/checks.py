"""What must hold between sections of a configuration."""

from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import ValidationError

from ncs.config.learning import Variant
from ncs.config.values import LARGEST, LARGEST_SEED, problems
from ncs.errors import ConfigError

if TYPE_CHECKING:
    from ncs.config.schema import Config

OUTCOMES = ("clicked", "watched_seconds", "cvr")
"""The columns of silver/samples that follow from clicks and plays."""


def check_features(conf: "Config") -> None:
    """Raises ValueError for a feature that knows a label: what is known only after the impression was shown."""
    known = dict.fromkeys(OUTCOMES, "says what happened after the impression")
    for name, task in conf.tasks.items():
        known |= dict.fromkeys(task.columns - known.keys(), f"is what tasks.{name} is computed from")
    for field in conf.fields:
        if field.lower() in known:
            raise ValueError(f"fields.{field}: {field} {known[field.lower()]}, so it is no feature; leave it out")


def check_size(conf: "Config") -> None:
    """Raises ValueError for a net that no machine has the memory for."""
    width = conf.net.embedding
    crossed = width * width if conf.net.interaction == "kronecker" else 1
    fed = len(conf.fields) * width + len(conf.crosses) * crossed
    weights = sum(left * right for left, right in pairwise([fed, *conf.net.hidden]))
    if weights > LARGEST:
        raise ValueError(f"net.hidden: layers of {weights:,} weights; {LARGEST:,} are the most")


def check_names(conf: "Config") -> None:
    """Raises ConfigError where a key of the whole catalogue names a model, or sets a key, that there is not."""
    ranked = [name for pair in conf.simulate.pairs for name in pair]
    for key, names in (("compare.references", conf.compare.references), ("simulate.pairs", ranked)):
        for name in names:
            if name not in conf.models:
                raise ConfigError(f"{key}: no model is called {name!r}; there are {', '.join(conf.models)}")
    for key, choices in conf.compare.space.items():
        for value in choices:
            try:
                Variant(set={key: value})
                conf.with_keys({key: value})
            except ValidationError as err:
                raise ConfigError(f"compare.space: {'; '.join(problems(err))}") from None
            except ConfigError as err:
                raise ConfigError(f"compare.space: {err}") from None
    if conf.train.seed + conf.compare.seeds - 1 > LARGEST_SEED:
        raise ConfigError(f"train.seed: with compare.seeds the last seed is beyond {LARGEST_SEED}")
