"""Values as ids that are learnt on the training days: one id a value, by falling frequency."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from ncs.kinds.base import ColumnFeature, Encoder
from ncs.kinds.layout import IdSlot
from ncs.kinds.text import lookup_ids
from ncs.values import Count

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import DataType


class Vocabulary(ColumnFeature):
    """`encode: vocabulary`; values seen fewer than `min_count` times are unknown, id 0."""

    encode: Literal["vocabulary"] = "vocabulary"
    min_count: Count = 1
    table: str | None = None
    """The field whose ids and embeddings it shares; None: its own."""

    def slot(self, name: str) -> IdSlot:
        """One id."""
        return IdSlot(name, self.table or name)

    def encoder(self, name: str, known: Sequence[str]) -> Encoder:
        """Ids int64 [rows]."""
        ids = {value: n for n, value in enumerate(known, start=1)}
        return lambda values: lookup_ids(values, lambda text: ids.get(text, 0))

    def problem(self, dtype: "DataType") -> str | None:
        """Lists and bytes have no id."""
        from ncs.kinds.spark import no_scalar

        return no_scalar(dtype)

    def values(self, name: str, dtype: "DataType", summary: Any) -> "Column | None":
        """The value of the row, unless another field's vocabulary has them."""
        from pyspark.sql import functions as F

        from ncs.kinds.spark import as_text

        return None if self.table else F.array(as_text(F.col(name), dtype))

    def encode_column(self, rows: "DataFrame", name: str, known: "DataFrame", samples: "DataFrame") -> "DataFrame":
        """Add the id of each value, int."""
        from pyspark.sql import functions as F

        from ncs.kinds.spark import as_text, join_ids

        return join_ids(rows, name, as_text(F.col(name), rows.schema[name].dataType), known)
