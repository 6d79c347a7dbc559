"""Kinds of features, a file each: the keys of a field, how values become inputs, where these stand in a batch."""

from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import Field

from ncs.kinds.base import Feature
from ncs.kinds.buckets import Buckets
from ncs.kinds.hashed import Hashed
from ncs.kinds.history import History
from ncs.kinds.layout import IdSlot, Layout, NumberSlot, Slot
from ncs.kinds.lists import IdList
from ncs.kinds.number import Number
from ncs.kinds.statistics import Statistics
from ncs.kinds.vector import Vector
from ncs.kinds.vocabulary import Vocabulary

FeatureField = Annotated[Vocabulary | Buckets | Hashed | IdList | Number | Vector, Field(discriminator="encode")]
"""A field of the configuration, whose `encode` says of which kind it is."""


def all_features(
    fields: Mapping[str, Feature], statistics: Iterable[Statistics], history: Mapping[str, History]
) -> dict[str, Feature]:
    """All features by name, in the order of a batch: the fields, statistics of earlier rows, histories."""
    features: dict[str, Feature] = dict(fields)
    for group in statistics:
        features |= group.fields
    for name, past in history.items():
        features |= past.fields(name, fields)
    return features


__all__ = [
    "Buckets",
    "Feature",
    "FeatureField",
    "Hashed",
    "History",
    "IdList",
    "IdSlot",
    "Layout",
    "Number",
    "NumberSlot",
    "Slot",
    "Statistics",
    "Vector",
    "Vocabulary",
    "all_features",
]
