"""What training cost, by model and phase, on one clock: seconds of its epochs, validation of each included."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

_SLOW = 2.0
"""How many times slower than the median a phase goes through its samples before it is marked."""


def costs(trained: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """A row a model and phase: epochs, samples, seconds, samples a second, the share of the time spent on waiting.

    `slow`: whether it ran less than half as fast as the median of the run's phases of the same tasks, as on a machine
    with other work; its seconds are then no fair measure of the model.

    Args:
        trained: model -> the lines of its `metrics.jsonl`.
    """
    rows = [row for model, lines in trained.items() for row in _phases(model, lines)]
    for row in rows:
        alike = [other["rate"] for other in rows if _kind(other) == _kind(row)]
        row["slow"] = row["rate"] * _SLOW < median(alike)
    return rows


def _kind(row: Mapping[str, Any]) -> tuple[str | None, bool]:
    """Phases whose speeds compare: of the same task, all by steps, or all by trees, which see the rows once a tree."""
    return row["task"], row["phase"].startswith("trees")


def totals(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Model -> seconds of all of its phases."""
    found: dict[str, float] = {}
    for row in rows:
        found[row["model"]] = found.get(row["model"], 0.0) + row["seconds"]
    return found


def _phases(model: str, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for phase, task in dict.fromkeys((line["phase"], line["task"]) for line in lines):
        mine = [line for line in lines if (line["phase"], line["task"]) == (phase, task)]
        seconds = max(sum(line["seconds"] for line in mine), 1e-9)
        samples = sum(line["samples"] for line in mine)
        found.append(
            {
                "model": model,
                "phase": f"{phase}, {task.upper()}" if task else phase,
                "task": task,
                "epochs": len(mine),
                "samples": samples,
                "seconds": seconds,
                "rate": samples / seconds,
                "waited": sum(line["wait_share"] * line["seconds"] for line in mine) / seconds,
            }
        )
    return found
