"""A simulation in the form of the paper's Table 3, as text, and as rows of gold/simulations."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ncs.simulation.simulation import Simulation
from ncs.simulation.trial import METRICS, Estimate
from ncs.text import aligned


def as_text(simulation: Simulation) -> str:
    """A line an arm: figures of its users, view time's difference from the first arm, in the test and paired."""
    final = simulation.final()
    lines = [["ranks by", "users", "view seconds", "CVR", "CTR", "A/B test", "all users, paired"]]
    for one in final:
        values = one.values
        line = [one.arm.name, f"{one.users:,}"]
        for metric, form in (("view_seconds", ".1f"), ("cvr", ".1%"), ("ctr", ".1%")):
            line.append(format(values[metric], form) if metric in values else "-")
        gains = [(found or {}).get("view_seconds") for found in (one.test, one.paired)]
        lines.append([*line, *(_gain(found) if found else "-" for found in gains)])
    return "\n".join([*aligned(lines), "", *_words(simulation)])


def _words(simulation: Simulation) -> list[str]:
    """What the figures are, and whether the split of the users is as it should be."""
    days = max(one.day for one in simulation.outcomes)
    split = simulation.sample_ratio
    return [
        f"View seconds a visit, over {days} days; differences of view seconds from the first line, 95 % intervals.",
        "Excludes 0: * at the end of the test, ** also for whoever looked on every day.",
        f"Sample ratio: p = {split:.3f}, " + ("as it should be." if split > 0.001 else "the split is broken."),
    ]


def _gain(found: Estimate) -> str:
    mark = "**" if abs(found.gain) > found.any_day > 0 else "*" if found.low > 0 or found.high < 0 else ""
    return f"{found.gain:+.2%} [{found.low:+.2%}, {found.high:+.2%}] {mark}".rstrip()


def as_rows(simulation: Simulation, made: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each arm, day (the figures are of all days up to it) and metric."""
    return [
        {
            **made,
            "arm": one.arm.name,
            "pctr_model": one.arm.pair[0] if one.arm.pair else None,
            "pcvr_model": one.arm.pair[1] if one.arm.pair else None,
            "day": one.day,
            "users": one.users,
            "metric": metric,
            "value": one.values.get(metric),
            **_columns("test", (one.test or {}).get(metric)),
            **_columns("paired", (one.paired or {}).get(metric)),
            "sample_ratio": simulation.sample_ratio,
        }
        for one in simulation.outcomes
        for metric in METRICS
    ]


def _columns(prefix: str, found: Estimate | None) -> dict[str, float | None]:
    names = Estimate.__dataclass_fields__
    values = asdict(found) if found else dict.fromkeys(names)
    return {f"{prefix}_{name}": values[name] for name in names}
