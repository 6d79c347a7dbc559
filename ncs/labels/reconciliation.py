"""The reconciliation of a labelled day: no raw row may get lost or come twice."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncs.errors import DataError
from ncs.labels.join import DUPLICATE, KEPT, Labelled


@dataclass
class LogCounts:
    """Where the rows of one log of one day went."""

    rows: int = 0
    kept: int = 0
    duplicates: int = 0
    quarantined: dict[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        """Rows in, less rows accounted for; not zero means that rows were lost or doubled."""
        return self.rows - self.kept - self.duplicates - sum(self.quarantined.values())


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

    def check_usable(self, day: date) -> None:
        """Raises DataError if the day has no impression or no click to learn from."""
        if not self.samples:
            raise DataError(f"{day}: no usable impression, {self.logs['impressions']}; look at its logs for that day")
        if not self.clicked:
            raise DataError(
                f"{day}: no click of bronze/clicks belongs to one of its impressions, {self.logs['clicks']}. "
                f"Were that day's clicks delivered? Ingest them, or leave the day out with --days"
            )

    def facts(self) -> dict[str, Any]:
        """Plain data for the record of the commit."""
        return asdict(self)


def reconcile(
    labelled: Labelled, rows: Mapping[str, Mapping[date, int]], days: Iterable[date]
) -> dict[date, Reconciliation]:
    """Count the outcomes and the samples of each day, and hold them against the rows that came in.

    Args:
        labelled: the days; this is a pass over all of them.
        rows: rows of each log's folder of each day, as the bronze table itself counts them.
        days: the days that were labelled.

    Raises:
        DataError: a row was lost or doubled.
    """
    logs = {day: {name: LogCounts(counts.get(day, 0)) for name, counts in rows.items()} for day in days}
    samples: dict[date, dict[str, tuple[int, float | None]]] = {day: {} for day in logs}
    for name, day, outcome, count, mean in _counted(labelled).collect():
        if name == _SAMPLES:
            samples[day][outcome] = count, mean
            continue
        log = logs[day][name]
        if outcome == KEPT:
            log.kept = count
        elif outcome == DUPLICATE:
            log.duplicates = count
        else:
            log.quarantined[outcome] = count
    reconciled_days = {day: _account(logs[day], samples[day]) for day in logs}
    for day, reconciled in reconciled_days.items():
        _check(reconciled, day)
    return reconciled_days


_SAMPLES, _SHOWN, _UNLABELLED, _LABELLED = "samples", "shown", "unlabelled", "labelled"


def _counted(labelled: Labelled) -> DataFrame:
    """`log, day, outcome, count, mean cvr` of all rows that came in and of the samples made of them, in one pass."""
    none = F.lit(None).cast("double").alias("cvr")
    parts = [rows.select(F.lit(log).alias("log"), "day", "outcome", none) for log, rows in labelled.outcomes.items()]
    clicked = F.when(F.col("cvr").isNull(), _UNLABELLED).otherwise(_LABELLED)
    outcome = F.when(F.col("clicked") == 1, clicked).otherwise(_SHOWN).alias("outcome")
    parts.append(labelled.samples.select(F.lit(_SAMPLES).alias("log"), "day", outcome, "cvr"))
    counts = reduce(DataFrame.unionByName, parts).groupBy("log", "day", "outcome")
    return counts.agg(F.count("*"), F.avg("cvr"))


def _account(logs: dict[str, LogCounts], samples: Mapping[str, tuple[int, float | None]]) -> Reconciliation:
    counts = {outcome: count for outcome, (count, _) in samples.items()}
    unlabelled, (labelled, mean) = counts.get(_UNLABELLED, 0), samples.get(_LABELLED, (0, None))
    return Reconciliation(logs, sum(counts.values()), unlabelled + labelled, unlabelled, mean)


def _check(reconciled: Reconciliation, day: date) -> None:
    for name, log in reconciled.logs.items():
        if log.lost:
            raise DataError(f"bronze/{name} on {day} does not reconcile: {log} leaves {log.lost} rows over")
    if reconciled.samples != reconciled.logs["impressions"].kept:
        raise DataError(
            f"{day}: {reconciled.logs['impressions'].kept} impressions were kept, but the join makes "
            f"{reconciled.samples} samples of them; bronze/users or bronze/videos holds a key twice"
        )
