"""A ranking simulation for the report: rows of gold/simulations to the lines of the paper's Table 3, and a picture."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ncs.evaluation import page
from ncs.evaluation.models import TABLE_3, legend_name, look
from ncs.evaluation.svg import svg
from ncs.evaluation.verdict import SEEDS, Finding, Tone, Verdict

METRICS = ("view_seconds", "cvr", "ctr")

Row = dict[str, Any]
"""A row of gold/simulations."""


def newest(rows: Sequence[Row]) -> list[Row]:
    """The rows of the simulation that was made last; none of none."""
    last = max(rows, key=lambda row: row["made_at"])["simulation_id"] if rows else None
    return [row for row in rows if row["simulation_id"] == last]


def table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A line an arm, of all days together, with the paper's figures of the same pair.

    `test` and `paired` are view time's differences from the first arm, `gain, low, high`; None for that arm itself.
    """
    days = max(row["day"] for row in rows)
    lines: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["day"] != days:
            continue
        line = lines.setdefault(row["arm"], {"arm": row["arm"], "title": row["arm"].split(", ")})
        line[row["metric"]] = row["value"]
        if row["metric"] == "view_seconds":
            line |= {"users": row["users"], "test": _difference(row, "test"), "paired": _difference(row, "paired")}
            line["paper"] = TABLE_3.get((row["pctr_model"], row["pcvr_model"])) if _is_pair(row["arm"]) else None
    return list(lines.values())


def by_day(rows: Sequence[Row]) -> str:
    """View time's paired difference from the first arm by day, each of all days up to it, with 95 % intervals.

    The ends of the scale are left out: next to them the models would fall together. So are days without a difference,
    on which nobody came to an arm.
    """
    of_time = [row for row in rows if row["metric"] == "view_seconds"]
    pairs = {row["arm"]: (row["pctr_model"], row["pcvr_model"]) for row in of_time if _is_pair(row["arm"])}
    names = list(pairs)

    def draw(axis: Axes, base: str) -> None:
        for arm in names[1:]:
            known = (row for row in of_time if row["arm"] == arm and row["paired_gain"] is not None)
            mine = sorted(known, key=lambda row: row["day"])
            days, gains = ([row[name] for row in mine] for name in ("day", "paired_gain"))
            click, watch = pairs[arm]
            colour, marker = look(watch)  # of the pCVR model; dashed: with another pCTR model than the first arm's
            style = "-" if click == pairs[base][0] else "--"
            axis.plot(days, gains, f"{marker}{style}", color=colour, label=legend_name(arm))
            axis.fill_between(
                days,
                [row["paired_low"] for row in mine],
                [row["paired_high"] for row in mine],
                color=colour,
                alpha=0.15,
            )
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set(xlabel="day of the simulation", ylabel="from the first arm, better ↑")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
        axis.figure.legend(loc="outside lower center")

    title = "View time of all users, paired"
    return svg(partial(draw, base=names[0]), title, 2.9 + 0.2 * len(names))


def verdict(rows: Sequence[Row]) -> Verdict:
    """Which pair of models to rank by: the one with the most view time, if its paired interval excludes 0."""
    lines = {line["arm"]: line for line in table(rows) if _is_pair(line["arm"])}
    base, *others = lines
    days = max(row["day"] for row in rows)
    judged = [arm for arm in others if lines[arm]["paired"]]
    if not judged:
        step, command = "simulate more days", f"ncs simulate --set simulate.days={2 * days}"
        return Verdict(base, None, False, f"rank by {base}, for nothing was compared", [], [], "", step, command)
    settled = [arm for arm in judged if lines[arm]["paired"]["low"] > 0]
    best = max(settled or judged, key=lambda arm: lines[arm]["paired"]["gain"])
    titles = {"paired": "all users, paired", "test": "A/B test"}
    findings = [_finding(best, base, titles[kind], lines[best][kind]) for kind in titles if lines[best][kind]]
    confidence = f"over {days} simulated days, with one training seed of each model"
    split = next(row["sample_ratio"] for row in rows)
    notes = (
        []
        if split > 0.001
        else [f"the users are not split as they should be (p = {split:.3f}): do not use the A/B test"]
    )
    if not settled:
        headline, step = f"keep {base}, no other pair of models earns more view time", "simulate more days"
        command = f"ncs simulate --set simulate.days={2 * days}"
        return Verdict(base, base, False, headline, findings, notes, confidence, step, command)
    models = ",".join(dict.fromkeys(name for line in (base, best) for name in _pair(rows, line)))
    step, command = "train several seeds of these models", f"ncs compare --models {models} --seeds {SEEDS}"
    return Verdict(best, base, True, f"rank by {best}", findings, notes, confidence, step, command)


def _finding(arm: str, base: str, title: str, difference: dict[str, float]) -> Finding:
    gain, low, high = (difference[name] for name in ("gain", "low", "high"))
    tone = Tone.BETTER if low > 0 else Tone.WORSE if high < 0 else Tone.OPEN
    words = "not settled" if tone is Tone.OPEN else str(tone)
    text = f"{words}: {gain:+.2%} view time ({low:+.2%} to {high:+.2%}), against {base}"
    return Finding(arm, base, title, text, tone)


def _pair(rows: Sequence[Row], arm: str) -> tuple[str, str]:
    return next((row["pctr_model"], row["pcvr_model"]) for row in rows if row["arm"] == arm)


def render(rows: Sequence[Row]) -> str:
    """The page of a simulation, of its rows."""
    return page.render(
        "simulation.html",
        simulation_id=rows[0]["simulation_id"],
        run_id=rows[0]["run_id"],
        verdict=verdict(rows),
        rankings=table(rows),
        picture=by_day(rows),
        days=max(row["day"] for row in rows),
        sample_ratio=rows[0]["sample_ratio"],
    )


def _is_pair(arm: str) -> bool:
    """Whether an arm is a numbered pair of models, no control and no end of the scale."""
    return arm[:1].isdigit()


def _difference(row: Row, prefix: str) -> dict[str, float] | None:
    if row[f"{prefix}_gain"] is None:
        return None
    return {name: row[f"{prefix}_{name}"] for name in ("gain", "low", "high")}
