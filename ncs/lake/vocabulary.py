"""The versions of gold/vocabulary: what each knows, and whether two give the same ids to the same values.

A vocabulary that only grows keeps its lineage, which stands in the facts of its commits: rows that were encoded with an
earlier version of the same lineage mean what they meant. One that is rebuilt begins another.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from ncs.lake import layout
from ncs.lake.layout import ALL, CHANGED, Lake

LINEAGE, LARGEST = "lineage", "largest"
"""Facts of a commit: the lineage, and the largest id that each field ever had."""


def read_ids(lake: Lake, version: int) -> pa.Table:
    """The columns of a version that an encoder reads: `field, value, id`."""
    return lake.read(layout.VOCABULARY, version, ["field", "value", "id"])


def lineage(lake: Lake, version: int | None = None) -> str | None:
    """The lineage of a version, or of the newest; None: there is no vocabulary.

    One that does not grow, or that another program has changed, is a lineage of its own.
    """
    record = lake.records(layout.VOCABULARY, version).get(ALL)
    if record is None:
        return None
    itself, facts = f"version {record[0]}", record[1].facts
    return itself if CHANGED in facts else str(facts.get(LINEAGE, itself))


def means_the_same(lake: Lake, version: int, newest: int | None = None) -> bool:
    """Whether the ids of a version mean what they mean in the `newest`, by default that which is there now."""
    record = lake.records(layout.VOCABULARY, newest).get(ALL)
    if record is None or version == record[0]:
        return record is not None
    # One that does not grow is a lineage of its own: no need to read the history up to the other version.
    return LINEAGE in record[1].facts and lineage(lake, version) == lineage(lake, newest)


def is_successor(now: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether a vocabulary, by its facts, is an earlier one or has grown from it.

    One of the same lineage that has lost ids, as a table that was restored to an older version, has not.
    """
    if now == before:
        return True
    if LINEAGE not in now or now[LINEAGE] != before.get(LINEAGE):
        return False
    largest: Mapping[str, int] = now.get(LARGEST, {})
    return all(largest.get(field, 0) >= number for field, number in before.get(LARGEST, {}).items())
