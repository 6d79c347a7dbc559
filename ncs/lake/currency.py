"""Whether a partition is current, for all stages.

A commit records the provenance of a partition (`Record.provenance`); a stage knows the provenance that it would have
now. Where the two differ the partition is stale, and the difference is the reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ncs.errors import DataError
from ncs.lake.commits import CHANGED, Commit
from ncs.lake.layout import Lake

Wanted = Mapping[str, "dict[str, Any] | DataError"]
"""Partition (a day, a run, or `all`) -> the provenance that it would have now, or why it cannot be built."""


@dataclass(frozen=True)
class LakeNow(Lake):
    """A snapshot of a lake: each table's history is read once, however often it is asked for.

    Commits after the first reading, one's own too, are not seen: whoever has written takes another snapshot.
    """

    _histories: dict[tuple[str, int | None], dict[str, Commit]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def commits(self, name: str, version: int | None = None) -> dict[str, Commit]:
        """As `Lake.commits`, from the log's first reading."""
        if (name, version) not in self._histories:
            self._histories[name, version] = super().commits(name, version)
        return self._histories[name, version]


def stale(lake: Lake, wanted: Mapping[str, Wanted], beside: Sequence[str] = ()) -> dict[str, list[str]]:
    """The partitions that are not current in one of the tables, each with the reasons.

    Args:
        lake: a `LakeNow`, where several partitions are asked for.
        wanted: table -> the provenance that its partitions would have now.
        beside: tables that are written with these, and have no commit of a partition without rows.
    """
    by_key: dict[str, list[str]] = {}
    for table, partitions in wanted.items():
        for key, source in partitions.items():
            others = [lake.commits(name).get(key) for name in beside]
            changed = [text for commit in others if commit for text in _changed(commit)]
            if why := [*reasons(lake.commits(table).get(key), source), *changed]:
                by_key.setdefault(key, []).extend(why)
    return by_key


def is_current(lake: Lake, table: str, key: object, wanted: "dict[str, Any] | DataError") -> bool:
    """Whether one partition is current; not where it cannot be built."""
    return not stale(lake, {table: {str(key): wanted}})


def reasons(commit: Commit | None, wanted: "dict[str, Any] | DataError | None") -> list[str]:
    """Why a partition with this commit is not current, in words; `wanted` None: it would not be built at all."""
    if isinstance(wanted, dict):
        if commit is None:
            return ["not written yet"]
        before = commit.record.provenance
        return [] if before == wanted else differences(before, wanted) or ["provenance"]
    changed = _changed(commit) if commit else []
    if isinstance(wanted, DataError):
        return [*changed, str(wanted)]
    return [*changed, "its inputs are gone"] if commit else ["not written yet"]


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The parts of a provenance that have changed, in words."""
    texts = []
    for name in sorted({*before, *now}):
        if before.get(name) == now.get(name):
            continue
        if name == "inputs":
            old, new = before.get(name, {}), now.get(name, {})
            texts += [
                f"{part} {old.get(part, 'absent')} -> {new.get(part, 'absent')}"
                for part in sorted({*old, *new})
                if old.get(part) != new.get(part)
            ]
        elif name == CHANGED:
            texts.append(f"{name} ({before[name]})")
        else:
            texts.append({"conf": "configuration"}.get(name, name))
    return texts


def _changed(commit: Commit) -> list[str]:
    """Whether another program has changed its rows since, in words."""
    provenance = commit.record.provenance
    return [f"{CHANGED} ({provenance[CHANGED]})"] if CHANGED in provenance else []
