"""A ranking simulation for the report: rows of gold/simulations to the lines of the paper's Table 3, and a picture."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from ncs.evaluation.charts import svg
from ncs.evaluation.looks import look
from ncs.evaluation.names import legend_name
from ncs.evaluation.paper import TABLE_3

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
        axis.set(xlabel="day of the simulation", ylabel="difference, better ↑")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
        axis.figure.legend(loc="outside lower center")

    title = f"View time of all users, from {names[0]}"
    return svg(partial(draw, base=names[0]), title, 2.9 + 0.2 * len(names))


def _is_pair(arm: str) -> bool:
    """Whether an arm is a numbered pair of models, no control and no end of the scale."""
    return arm[:1].isdigit()


def _difference(row: Row, prefix: str) -> dict[str, float] | None:
    if row[f"{prefix}_gain"] is None:
        return None
    return {name: row[f"{prefix}_{name}"] for name in ("gain", "low", "high")}
