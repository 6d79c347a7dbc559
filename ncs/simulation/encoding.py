"""The world's columns as a model's inputs, by the vocabulary of a run, as `ncs encode` encodes logged rows."""

from collections.abc import Mapping

from ncs import serving
from ncs.errors import DataError
from ncs.kinds.base import Raw


class Encoder(serving.Encoder):
    """The encoder of a run whose features the synthetic world has."""

    def check(self, columns: Mapping[str, Raw]) -> None:
        """Raise DataError for a field that is not among the columns."""
        missing = [name for name in self.fields if name not in columns]
        if missing:
            raise DataError(
                f"fields.{missing[0]}: the synthetic world has no such column, so no visit can be scored; it has "
                f"{', '.join(sorted(columns))}"
            )
