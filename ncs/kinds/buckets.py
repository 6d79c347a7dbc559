"""Numbers as ids: the quantiles of the training days are the buckets' edges."""

from typing import Annotated, Literal

from pydantic import Field

from ncs.kinds.base import Feature
from ncs.kinds.layout import IdSlot


class Buckets(Feature):
    """`encode: buckets`; ids rise with the value, a missing value is id 0."""

    encode: Literal["buckets"] = "buckets"
    buckets: Annotated[int, Field(ge=2, le=1000)] = 16
    min_count: Literal[1] = 1

    def slot(self, name: str) -> IdSlot:
        """One id."""
        return IdSlot(name, name)
