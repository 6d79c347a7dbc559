"""Values as ids by a hash: nothing is learnt, values of tomorrow are not unknown, some values share an id."""

from typing import Annotated, Literal

from pydantic import Field

from ncs.kinds.base import Feature
from ncs.kinds.layout import IdSlot


class Hashed(Feature):
    """`encode: hash`; ids 1 to `size`, a missing value is id 0."""

    encode: Literal["hash"] = "hash"
    size: Annotated[int, Field(ge=2, le=1_000_000_000)]

    def slot(self, name: str) -> IdSlot:
        """One id."""
        return IdSlot(name, name)
