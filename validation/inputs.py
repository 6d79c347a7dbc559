"""Rules on the features' columns in a task's samples: ids within their tables, lists, numbers."""

from collections.abc import Mapping

from ncs.config import Config
from ncs.kinds import IdSlot, NumberSlot, Slot
from ncs.kinds.layout import NO_ID
from ncs.lake.columns import Between, Column, Nulls
from ncs.text import quoted
from validation.queries import none_where
from validation.rules import Rules

_INFINITE = "double('Infinity')"


def input_column(slot: Slot, conf: Config, ids: Mapping[str, int]) -> Column:
    """The column of a feature; what is true of arrays and of numbers is a rule of its own."""
    if slot.is_list:
        return Column("array", "", Nulls.CHECKED)
    if isinstance(slot, NumberSlot):
        return Column("float", "", Nulls.CHECKED)
    return Column("integer", "", Nulls.CHECKED, Between("", 0, _largest_id(slot, conf, ids)))


def _largest_id(slot: IdSlot, conf: Config, ids: Mapping[str, int]) -> int:
    return conf.features[slot.name].largest_id(ids.get(slot.table, 0))


def inputs(conf: Config, ids: Mapping[str, int]) -> Rules:
    """Lists of the features' length with ids of their tables, -1 behind the last; numbers that are finite or NaN."""
    return [
        none_where(slot.name, *_bad_input(slot, quoted(slot.name), conf, ids))
        for slot in conf.layout.slots
        if slot.is_list or isinstance(slot, NumberSlot)
    ]


def _bad_input(slot: Slot, column: str, conf: Config, ids: Mapping[str, int]) -> tuple[str, str]:
    """What a list or a number should be, in words, and the condition of the rows where it is not."""
    if isinstance(slot, IdSlot):
        most, end = _largest_id(slot, conf, ids), f"cast(array_position({column}, {NO_ID}) AS int)"
        unknown = f"exists({column}, x -> x IS NULL OR x NOT BETWEEN {NO_ID} AND {most})"
        beyond = f"exists(slice({column}, greatest({end}, 1), {slot.length}), x -> x != {NO_ID})"
        text = f"{slot.name} has {slot.length} ids up to {most}, {NO_ID} behind the last"
        return text, f"size({column}) != {slot.length} OR {unknown} OR ({end} > 0 AND {beyond})"
    if slot.is_list:
        infinite = f"exists({column}, x -> x IS NULL OR isnan(x) OR abs(x) = {_INFINITE})"
        return f"{slot.name} has {slot.length} finite numbers", f"size({column}) != {slot.length} OR {infinite}"
    return f"{slot.name} is finite, or NaN where it is missing", f"abs({column}) = {_INFINITE}"
