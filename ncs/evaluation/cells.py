"""Differences as the tables of the pages show them: more is better, settled ones in words and colour."""

from collections.abc import Iterable
from dataclasses import dataclass

from ncs.evaluation.verdict import oriented
from ncs.lake.tables.rows import Difference


@dataclass(frozen=True)
class Cell:
    """A difference and its 95 % interval as text; `better` as in `Difference`; `value` to sort by."""

    text: str
    interval: str
    better: bool | None
    value: float


def cell(one: Difference | None) -> Cell | None:
    """A difference for a table; None where there is none."""
    if one is None:
        return None
    value, *ends = (oriented(one, value) for value in (one.difference, one.low, one.high))
    return Cell(f"{value:+.5f}", f"{min(ends):+.5f} to {max(ends):+.5f}", one.better, value)


def cells(
    differences: Iterable[Difference], model: str, reference: str, metrics: Iterable[tuple[str, str]]
) -> list[Cell | None]:
    """A model's differences from a reference, in some tasks' metrics (task, metric)."""
    found = {(one.task, one.metric): one for one in differences if (one.model, one.reference) == (model, reference)}
    return [cell(found.get(metric)) for metric in metrics]
