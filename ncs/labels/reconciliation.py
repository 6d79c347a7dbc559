"""The reconciliation of a labelled day: no raw row may get lost or come twice, and none is set aside unseen."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncs.config.gates import Gates
from ncs.errors import DataError, GateError
from ncs.labels.join import DUPLICATE, KEPT, REASONS, Labelled

Examples = dict[str, dict[str, str]]
"""Log -> outcome -> an id of a row that has it."""


@dataclass
class LogCounts:
    """The outcomes of one log's rows of one day."""

    rows: int = 0
    kept: int = 0
    duplicates: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Rows in, less rows accounted for; not zero means that rows were lost or doubled."""
        return self.rows - self.kept - self.duplicates - self.set_aside

    @property
    def set_aside(self) -> int:
        """Rows in quarantine, for whatever reason."""
        return sum(self.quarantined.values())

    def add(self, other: "LogCounts") -> None:
        """Add the rows of another day."""
        self.rows, self.kept = self.rows + other.rows, self.kept + other.kept
        self.duplicates += other.duplicates
        for reason, count in other.quarantined.items():
            self.quarantined[reason] = self.quarantined.get(reason, 0) + count

    def exceeds(self, gates: Gates) -> bool:
        """Whether more of the rows are set aside, or are duplicates, than the gate lets pass."""
        return self.set_aside > gates.max_quarantined * self.rows or self.duplicates > gates.max_duplicates * self.rows

    def __str__(self) -> str:
        reasons = sorted(self.quarantined.items(), key=lambda item: -item[1])
        named = f" ({', '.join(f'{reason} {count:,}' for reason, count in reasons)})" if reasons else ""
        return (
            f"{self.rows:,} rows: {self.kept:,} kept, {self.set_aside:,} quarantined{named}, "
            f"{self.duplicates:,} duplicates"
        )


@dataclass(frozen=True)
class Reconciliation:
    """The reconciliation of a day, stored with the commit of its samples."""

    logs: dict[str, LogCounts]
    samples: int
    clicked: int
    unlabelled: int
    """Clicked samples without a CVR label: their length is null or not positive."""
    mean_cvr: float | None = None
    """Of the labels; None if there is no label."""

    def check_usable(self, day: date, examples: Examples) -> None:
        """Raises GateError if the day has no impression or no click to learn from."""
        if not self.samples:
            raise GateError(
                f"{day}: no impression of bronze/impressions is usable; {self._outcomes('impressions', examples)}"
            )
        if not self.clicked:
            raise GateError(
                f"{day}: no click of bronze/clicks belongs to one of its impressions; "
                f"{self._outcomes('clicks', examples)}. Were that day's clicks delivered? Ingest them, or leave the "
                "day out with --days"
            )

    def _outcomes(self, log: str, examples: Examples) -> str:
        """The outcomes of a log's rows, and the meaning of the most frequent reason, with an example."""
        reconciled = self.logs[log]
        if not reconciled.quarantined:
            return str(reconciled)
        reason = max(reconciled.quarantined, key=reconciled.quarantined.__getitem__)
        example = examples.get(log, {}).get(reason)
        return f"{reconciled}. {reason}{f', for example {example}' if example else ''}: {REASONS[reason]}"

    def facts(self) -> dict[str, Any]:
        """Plain data for the record of the commit."""
        return asdict(self)


def reconcile(
    labelled: Labelled, rows: Mapping[str, Mapping[date, int]], days: Iterable[date]
) -> dict[date, Reconciliation]:
    """Count the outcomes and the samples of each day, and compare them with the rows that came in.

    Args:
        labelled: the days; this is a pass over all of them.
        rows: rows of each log's folder of each day, as the bronze table itself counts them.
        days: the days that were labelled.

    Raises:
        DataError: a row was lost or doubled.
    """
    logs = {day: {name: LogCounts(counts.get(day, 0)) for name, counts in rows.items()} for day in days}
    samples: dict[date, dict[str, tuple[int, float | None]]] = {day: {} for day in logs}
    dated: dict[date, int] = dict.fromkeys(logs, 0)
    for name, day, outcome, count, mean in _counted(labelled).collect():
        if name == _SAMPLES:
            samples[day][outcome] = count, mean
            continue
        if name == _DATED:
            dated[day] = count
            continue
        log = logs[day][name]
        if outcome == KEPT:
            log.kept = count
        elif outcome == DUPLICATE:
            log.duplicates = count
        else:
            log.quarantined[outcome] = count
    reconciled_days = {day: _reconciliation(logs[day], samples[day]) for day in logs}
    for day, reconciled in reconciled_days.items():
        _check(reconciled, day, reconciled.logs["impressions"].kept if labelled.dated is None else dated[day])
    return reconciled_days


def examples(labelled: Labelled) -> dict[date, Examples]:
    """Day -> an id of each outcome but `kept`, the smallest, as text without control characters; a pass over the rows.

    For the message of a day that is not good: the count of a good one does without.
    """
    parts = [
        rows.select(F.lit(log).alias("log"), "day", "outcome", "impression_id")
        for log, rows in labelled.outcomes.items()
    ]
    rows = reduce(DataFrame.unionByName, parts).where(F.col("outcome") != KEPT)
    by_day: dict[date, Examples] = {}
    for log, day, outcome, key in rows.groupBy("log", "day", "outcome").agg(F.min("impression_id")).collect():
        if key is not None:
            by_day.setdefault(day, {}).setdefault(log, {})[outcome] = _shortened(key)
    return by_day


def _shortened(key: str) -> str:
    text = ascii(key)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]}...'"


_LONGEST = 60
_DATED = "dated"
_SAMPLES, _SHOWN, _UNLABELLED, _LABELLED = "samples", "shown", "unlabelled", "labelled"


def _counted(labelled: Labelled) -> DataFrame:
    """`log, day, outcome, count, mean cvr` of all rows that came in and of the samples made of them, in one pass."""
    none = F.lit(None).cast("double").alias("cvr")
    parts = [rows.select(F.lit(log).alias("log"), "day", "outcome", none) for log, rows in labelled.outcomes.items()]
    clicked = F.when(F.col("cvr").isNull(), _UNLABELLED).otherwise(_LABELLED)
    outcome = F.when(F.col("clicked") == 1, clicked).otherwise(_SHOWN).alias("outcome")
    parts.append(labelled.samples.select(F.lit(_SAMPLES).alias("log"), "day", outcome, "cvr"))
    if labelled.dated is not None:
        parts.append(labelled.dated.select(F.lit(_DATED).alias("log"), "day", F.lit(KEPT).alias("outcome"), none))
    counts = reduce(DataFrame.unionByName, parts).groupBy("log", "day", "outcome")
    return counts.agg(F.count("*"), F.avg("cvr"))


def _reconciliation(logs: dict[str, LogCounts], samples: Mapping[str, tuple[int, float | None]]) -> Reconciliation:
    counts = {outcome: count for outcome, (count, _) in samples.items()}
    unlabelled, (labelled, mean) = counts.get(_UNLABELLED, 0), samples.get(_LABELLED, (0, None))
    return Reconciliation(logs, sum(counts.values()), unlabelled + labelled, unlabelled, mean)


def _check(reconciled: Reconciliation, day: date, impressions: int) -> None:
    for name, log in reconciled.logs.items():
        if log.lost:
            raise DataError(f"bronze/{name} on {day} does not reconcile: {log} leaves {log.lost} rows over")
    if reconciled.samples != impressions:
        raise DataError(
            f"{day}: {impressions} impressions were kept, but the join makes {reconciled.samples} "
            f"samples of them; bronze/users or bronze/videos holds a key twice"
        )
