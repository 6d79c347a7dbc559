"""Values as ids by a hash: nothing is learnt, values of tomorrow are not unknown, some values share an id."""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ncs.kinds.base import ColumnFeature, Encoder
from ncs.kinds.layout import IdSlot
from ncs.kinds.text import lookup_ids

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType


class Hashed(ColumnFeature):
    """`encode: hash`; ids 1 to `size`, a missing value is id 0. The hash is CRC-32 of the value's text in UTF-8."""

    encode: Literal["hash"] = "hash"
    size: Annotated[int, Field(ge=2, le=1_000_000_000)]
    table: str | None = None
    """The field, hashed to as many ids, whose embeddings it shares; None: its own."""

    def slot(self, name: str) -> IdSlot:
        """One id."""
        return IdSlot(name, self.table or name)

    def encoder(self, name: str, known: Sequence[str]) -> Encoder:
        """Ids int64 [rows]."""
        return lambda values: lookup_ids(values, lambda text: zlib.crc32(text.encode()) % self.size + 1)

    def problem(self, dtype: "DataType") -> str | None:
        """Lists and bytes have no id."""
        from ncs.kinds.spark import no_scalar

        return no_scalar(dtype)

    def summary(self, name: str, dtype: "DataType") -> "Column":
        """The approximate number of values, and the number of ids."""
        from pyspark.sql import functions as F

        text = self._text(name, dtype)
        counts = [F.approx_count_distinct(column, 0.01) for column in (text, self._id(text))]
        return F.struct(counts[0].alias("values"), counts[1].alias("ids"))

    def report(self, summary: Any) -> str | None:
        """The share of values that share their id with another."""
        if not summary.values:
            return None
        lost = max(0.0, 1 - summary.ids / summary.values)
        return f"about {summary.values:,} values hashed to {self.size:,} ids, {lost:.1%} of them to one that is taken"

    def largest_id(self, known: int) -> int:
        """See Feature."""
        return self.size

    def encode_column(self, rows: "DataFrame", name: str, known: "DataFrame", samples: "DataFrame") -> "DataFrame":
        """Add the hash of each value, int."""
        from pyspark.sql import functions as F

        text = self._text(name, rows.schema[name].dataType)
        return rows.withColumn(f"{name}#", F.coalesce(self._id(text), F.lit(0)))

    def _text(self, name: str, dtype: "DataType") -> "Column":
        from pyspark.sql import functions as F

        from ncs.kinds.spark import as_text

        return as_text(F.col(name), dtype)

    def _id(self, text: "Column") -> "Column":
        from pyspark.sql import functions as F

        return F.pmod(F.crc32(text.cast("binary")), F.lit(self.size)) + 1
