"""Lists of values, each element an id; their vectors are pooled into one."""

from typing import Annotated, Literal

from pydantic import Field

from ncs.kinds.base import Feature
from ncs.kinds.layout import IdSlot
from ncs.values import Count


class IdList(Feature):
    """`encode: list`, of an array column, or of a text column whose elements a separator separates."""

    encode: Literal["list"] = "list"
    separator: Annotated[str, Field(min_length=1, max_length=8)] | None = None
    """None: the column is an array."""
    length: Annotated[int, Field(ge=1, le=1000)] = 8
    """Of the elements the first so many count."""
    pooling: Literal["mean", "sum", "max"] = "mean"
    min_count: Count = 1
    table: str | None = None
    """The field whose ids and embeddings it shares; None: its own."""

    def slot(self, name: str) -> IdSlot:
        """`length` ids; an empty list is a vector of zeros."""
        return IdSlot(name, self.table or name, self.length, self.pooling)
