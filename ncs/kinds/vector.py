"""Vectors of fixed length, as a pretrained embedding of a cover or a text: projected to the embedding's width."""

from typing import Annotated, Literal

from pydantic import Field

from ncs.kinds.base import Feature
from ncs.kinds.layout import NumberSlot


class Vector(Feature):
    """`encode: vector`, of an array of numbers; a missing one is all zeros."""

    encode: Literal["vector"] = "vector"
    length: Annotated[int, Field(ge=1, le=4096)]

    def slot(self, name: str) -> NumberSlot:
        """`length` numbers that a linear layer makes one vector of."""
        return NumberSlot(name, self.length, projected=True)
