"""What the lake holds, day by day and run by run, read from Delta's logs alone: no Spark, no rows."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from ncs.days import Days
from ncs.errors import DataError
from ncs.lake import layout
from ncs.lake.currency import Wanted, reasons
from ncs.lake.layout import Commit, Lake
from ncs.text import aligned

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class PartitionStatus:
    """A day of a table, a run of one that is kept by run, or the whole of another."""

    table: str
    day: str
    """Or the run's id, or `all`."""
    rows: int
    version: int | None
    """Of the commit that wrote it; None: it was never written."""
    written: datetime | None
    provisional: bool
    """Whether its window reaches into logs that had not come."""
    gate: str
    quarantined: int | None
    """Rows of its logs that labelling set aside; None where that says nothing."""
    duplicates: int | None
    """Rows of its logs that repeat another."""
    provenance: dict[str, int]
    """Input -> the version that was read; of logs, `files` -> how many."""
    stale: list[str]
    """What has changed since it was written; empty: it is up to date."""

    def as_json(self) -> dict[str, Any]:
        """Plain data, times in ISO form."""
        return {**asdict(self), "written": self.written.isoformat() if self.written else None}


def statuses(
    lake: Lake, table: str, wanted: Wanted, keys: Iterable[str], gates: Mapping[str, str]
) -> list[PartitionStatus]:
    """The partitions of a table: those of `keys` that are there or wanted.

    Args:
        table: its name.
        wanted: the provenance that each would have now.
        keys: days, runs, or `all`.
        gates: what the gate said of each partition.
    """
    commits = lake.commits(table)
    rows = lake.rows_by_day(table) | lake.rows_by("run_id", table) if lake.has(table) else {}
    return [
        _status(table, key, rows.get(key, 0), commits.get(key), wanted.get(key), gates.get(key, "-"))
        for key in keys
        if key in commits or key in wanted
    ]


def as_text(partitions: Sequence[PartitionStatus]) -> str:
    """A table for each table, its days below each other."""
    blocks = []
    for table in dict.fromkeys(partition.table for partition in partitions):
        first = "run" if table in (layout.PREDICTIONS, layout.EVALUATIONS) else "day"
        header = [
            first,
            "rows",
            "version",
            "state",
            "gate",
            "quarantined",
            "duplicates",
            "written (UTC)",
            "made from",
            "stale",
        ]
        lines = [header, *(_line(partition) for partition in partitions if partition.table == table)]
        blocks.append("\n".join([table, *(f"  {line}" for line in aligned(lines))]))
    return "\n\n".join(blocks)


def summary(partitions: Sequence[PartitionStatus]) -> str:
    """All of it in one line: how many days are current, and what is stale or blocked."""
    by_day: dict[str, list[PartitionStatus]] = {}
    for partition in partitions:
        if _DAY.fullmatch(partition.day):
            by_day.setdefault(partition.day, []).append(partition)
    stale = [date.fromisoformat(day) for day, of_day in by_day.items() if any(each.stale for each in of_day)]
    blocked = [date.fromisoformat(day) for day, of_day in by_day.items() if any(each.gate == "stop" for each in of_day)]
    current = [day for day in by_day if date.fromisoformat(day) not in {*stale, *blocked}]
    provisional = [day for day in current if any(each.provisional for each in by_day[day])]
    whole = [f"{each.table} ({each.day})" for each in partitions if each.stale and each.day not in by_day]
    words = [f"{len(current)} {'day' if len(current) == 1 else 'days'} current"]
    words += [f"{len(provisional)} of them provisional"] if provisional else []
    words += [f"blocked: {Days.text(blocked)}"] if blocked else []
    behind = [*([Days.text(stale)] if stale else []), *whole]
    return ", ".join([*words, f"stale: {', '.join(behind)}" if behind else "nothing stale"])


def _status(
    table: str, key: str, rows: int, commit: Commit | None, wanted: "dict[str, Any] | DataError | None", gate: str
) -> PartitionStatus:
    stale = reasons(commit, wanted)
    if commit is None and rows and isinstance(wanted, dict):
        stale = ["written by another writer"]
    if commit is None:
        return PartitionStatus(table, key, rows, None, None, False, gate, None, None, {}, stale)
    facts, source = commit.record.facts, commit.record.provenance
    set_aside = [sum(log["quarantined"].values()) for log in facts.get("logs", {}).values()]
    duplicates = [log.get("duplicates", 0) for log in facts.get("logs", {}).values()]
    return PartitionStatus(
        table,
        key,
        rows,
        commit.version,
        commit.written,
        facts.get("provisional", False),
        gate,
        sum(set_aside) if set_aside else None,
        sum(duplicates) if duplicates else None,
        source["inputs"] if "inputs" in source else {"files": len(source.get("files", {}))},
        stale,
    )


def _line(partition: PartitionStatus) -> list[str]:
    return [
        partition.day,
        f"{partition.rows:,}",
        "-" if partition.version is None else str(partition.version),
        "-" if partition.version is None else "provisional" if partition.provisional else "final",
        partition.gate,
        "-" if partition.quarantined is None else f"{partition.quarantined:,}",
        "-" if partition.duplicates is None else f"{partition.duplicates:,}",
        f"{partition.written:%Y-%m-%d %H:%M:%S}" if partition.written else "-",
        _inputs(partition.provenance),
        "; ".join(partition.stale) or "-",
    ]


def _inputs(provenance: Mapping[str, int]) -> str:
    """Versions by table, those of its days as a range: `impressions 3, clicks 3..5`."""
    versions: dict[str, list[int]] = {}
    for name, version in provenance.items():
        # `<layer>/<table>/<day>`, or `<layer>/<table>` where it is read whole
        versions.setdefault(name.split("/")[1] if "/" in name else name, []).append(version)
    return ", ".join(
        f"{table} {min(of)}" + (f"..{max(of)}" if len(set(of)) > 1 else "") for table, of in versions.items()
    )
