"""A simulation as text, in the form of the paper's Table 3, and as rows of gold/simulations."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ncs.simulation.simulation import Simulation
from ncs.simulation.trial import METRICS, Estimate
from ncs.text import aligned


def as_text(simulation: Simulation) -> str:
    """A line for each arm: figures of its users, the difference of view time from the first arm, tested and paired."""
    final = simulation.final()
    lines = [["ranks by", "users", "view seconds", "CVR", "CTR", "A/B test", "all users, paired"]]
    for outcome in final:
        values = outcome.values
        line = [outcome.arm.name, f"{outcome.users:,}"]
        for metric, form in (("view_seconds", ".1f"), ("cvr", ".1%"), ("ctr", ".1%")):
            line.append(format(values[metric], form) if metric in values else "-")
        gains = [(estimates or {}).get("view_seconds") for estimates in (outcome.test, outcome.paired)]
        lines.append([*line, *(_gain(gain) if gain else "-" for gain in gains)])
    return "\n".join([*aligned(lines), "", *_words(simulation)])


def _words(simulation: Simulation) -> list[str]:
    """The meaning of the figures, and whether the users are split as they should be."""
    days = max(outcome.day for outcome in simulation.outcomes)
    split = simulation.sample_ratio
    return [
        f"View seconds a visit, over {days} days; differences of view seconds from the first line, 95 % intervals.",
        "Excludes 0: * at the end of the test, ** also if it was tested on every day.",
        f"Sample ratio: p = {split:.3f}, " + ("as it should be." if split > 0.001 else "the split is broken."),
    ]


def _gain(estimate: Estimate) -> str:
    settled = estimate.low > 0 or estimate.high < 0
    mark = "**" if abs(estimate.gain) > estimate.any_day > 0 else "*" if settled else ""
    return f"{estimate.gain:+.2%} [{estimate.low:+.2%}, {estimate.high:+.2%}] {mark}".rstrip()


def as_rows(simulation: Simulation, keys: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each arm, day (figures are of all days up to it) and metric, with the columns of `keys`."""
    return [
        {
            **keys,
            "arm": outcome.arm.name,
            "pctr_model": outcome.arm.pair[0] if outcome.arm.pair else None,
            "pcvr_model": outcome.arm.pair[1] if outcome.arm.pair else None,
            "day": outcome.day,
            "users": outcome.users,
            "metric": metric,
            "value": outcome.values.get(metric),
            **_columns("test", (outcome.test or {}).get(metric)),
            **_columns("paired", (outcome.paired or {}).get(metric)),
            "sample_ratio": simulation.sample_ratio,
        }
        for outcome in simulation.outcomes
        for metric in METRICS
    ]


def _columns(prefix: str, estimate: Estimate | None) -> dict[str, float | None]:
    names = Estimate.__dataclass_fields__
    values = asdict(estimate) if estimate else dict.fromkeys(names)
    return {f"{prefix}_{name}": values[name] for name in names}
