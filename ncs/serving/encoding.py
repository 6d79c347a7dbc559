"""Raw values of rows as a model's inputs, without Spark: what `ncs encode` makes of the same values."""

from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from ncs.errors import DataError
from ncs.kinds import Feature, IdSlot, Layout
from ncs.kinds.arrays import Arrays, stack
from ncs.kinds.base import Raw
from ncs.kinds.history import Past
from ncs.text_ids import hash_texts

_COLUMNS = ("field", "value", "id")


class Encoder:
    """Inputs of raw values, feature by feature, by what a run's training days taught.

    Raw values are what stands in silver/samples: scalars; lists, or texts with a separator; vectors. A history is
    given as lists of the raw values of its field, the newest first; a statistic as the number that
    `ncs.kinds.Statistics` says. A missing value is None, or NaN in an array of numbers.
    """

    def __init__(self, features: Mapping[str, Feature], vocabulary: pa.Table, text_ids: Collection[str] = ()) -> None:
        """`features`: `Config.features`; `vocabulary`: the columns `field, value, id` of gold/vocabulary.

        `text_ids`: the columns of `logs.text_ids`, whose texts the vocabulary knows by their numbers.
        """
        self._text_ids = text_ids
        self.fields = features
        self.layout = Layout.of(feature.slot(name) for name, feature in features.items())
        known: dict[str, dict[int, str]] = {}
        for field, value, position in zip(*(vocabulary[name].to_pylist() for name in _COLUMNS), strict=True):
            known.setdefault(field, {})[position] = value
        # The id of a user who was erased stays free: the others keep theirs.
        learnt = {
            field: [values.get(position, f"\0{position}") for position in range(1, max(values) + 1)]
            for field, values in known.items()
        }
        self._encoders = {
            slot.name: features[slot.name].encoder(
                slot.name, learnt.get(slot.table if isinstance(slot, IdSlot) else slot.name, [])
            )
            for slot in self.layout.slots
        }

    def column(self, name: str, values: Raw) -> NDArray[Any]:
        """A feature's values [rows] -> what its column in the sample tables holds, [rows] or [rows, length].

        Raises DataError for values of a type that the feature cannot have.
        """
        try:
            return self._encoders[name](hash_texts(values) if self._source(name) in self._text_ids else values)
        except (pa.ArrowException, TypeError, ValueError, AttributeError) as err:
            kind = getattr(self.fields[name], "encode", type(self.fields[name]).__name__.lower())
            reason = " ".join(str(err).split())[:120]
            raise DataError(
                f"{name} ({kind}): values of a wrong type ({reason}); give them as silver/samples has them"
            ) from None

    def _source(self, name: str) -> str:
        """The column of the logs that a feature's raw values come from."""
        feature = self.fields[name]
        return feature.field if isinstance(feature, Past) else name

    def encode(self, columns: Mapping[str, Raw]) -> dict[str, NDArray[Any]]:
        """The columns of the sample tables of those features that are among the given columns."""
        return {name: self.column(name, columns[name]) for name in self.fields if name in columns}

    def inputs(self, columns: Mapping[str, Raw]) -> Arrays:
        """A model's inputs of rows. Raises DataError for a feature that is not among the columns."""
        missing = [name for name in self.fields if name not in columns]
        if missing:
            raise DataError(f"the request has no {missing[0]}; it has {', '.join(columns)}; name each of its features")
        encoded = self.encode(columns)
        return stack(self.layout, encoded, len(next(iter(encoded.values()))))
