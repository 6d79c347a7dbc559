"""The columns of a row's features in a batch: columns of ids, and columns of numbers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

NO_ID = -1
"""Pads the columns of a list that has fewer elements than columns."""

Pooling = Literal["mean", "sum", "max", "attention"]
"""How the vectors of a list's elements become one; attention: weighted by their fit to the candidate (DIN)."""


@dataclass(frozen=True)
class IdSlot:
    """A feature of ids: `length` neighbouring columns of a batch's ids, one vector of the embedding's width."""

    name: str
    table: str
    """The feature whose rows of the embedding table it looks up, which are that one's own: mostly itself."""
    length: int = 1
    pooling: Pooling | None = None
    """None: a single id."""

    @property
    def is_list(self) -> bool:
        """Whether its column in the sample tables holds arrays."""
        return self.pooling is not None


@dataclass(frozen=True)
class NumberSlot:
    """A feature of numbers: `length` neighbouring columns of a batch's numbers, NaN where a value is missing."""

    name: str
    length: int = 1
    nullable: bool = False
    """Whether values can be missing: the net then has a flag beside them."""
    projected: bool = False
    """Whether a linear layer makes one vector of the embedding's width of them."""

    @property
    def is_list(self) -> bool:
        """Whether its column in the sample tables holds arrays."""
        return self.projected


Slot = IdSlot | NumberSlot


@dataclass(frozen=True)
class Layout:
    """The features in the order of the configuration; ids and numbers each keep it in their own columns."""

    slots: tuple[Slot, ...]

    @classmethod
    def of(cls, slots: Iterable[Slot]) -> "Layout":
        """From the slots of all features."""
        return cls(tuple(slots))

    @property
    def names(self) -> list[str]:
        """The columns of the sample tables, in order."""
        return [slot.name for slot in self.slots]

    @property
    def ids(self) -> list[IdSlot]:
        """The features of ids."""
        return [slot for slot in self.slots if isinstance(slot, IdSlot)]

    @property
    def numbers(self) -> list[NumberSlot]:
        """The features of numbers."""
        return [slot for slot in self.slots if isinstance(slot, NumberSlot)]

    @property
    def id_spans(self) -> dict[str, slice]:
        """The columns of ids of each feature."""
        return _spans(self.ids)

    @property
    def number_spans(self) -> dict[str, slice]:
        """The columns of numbers of each feature."""
        return _spans(self.numbers)

    @property
    def tables(self) -> list[str]:
        """The features that have rows of their own in the embedding table, in order."""
        return [slot.name for slot in self.ids if slot.table == slot.name]

    @property
    def vectors(self) -> list[str]:
        """The features that are a vector of the embedding's width: those of ids, then the projected ones."""
        projected = [slot.name for slot in self.numbers if slot.projected]
        return [*(slot.name for slot in self.ids), *projected]

    @property
    def id_width(self) -> int:
        """Columns of a batch's ids."""
        return sum(slot.length for slot in self.ids)

    @property
    def number_width(self) -> int:
        """Columns of a batch's numbers."""
        return sum(slot.length for slot in self.numbers)


def _spans(slots: Iterable[Slot]) -> dict[str, slice]:
    spans, start = {}, 0
    for slot in slots:
        spans[slot.name] = slice(start, start + slot.length)
        start += slot.length
    return spans
