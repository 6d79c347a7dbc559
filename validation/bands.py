"""Bands that a day's figures must lie in, learnt from the days before it. Pure functions, no Spark."""

from collections.abc import Mapping
from datetime import date
from statistics import median
from typing import Any

from ncs.config.schema import Learnt

Figures = Mapping[str, float]
Bands = dict[str, tuple[float, float]]

_SIGMAS = 4.0
_SIGMA_OF_MAD = 1.4826  # the standard deviation of a normal distribution, in median absolute deviations


def figures(facts: Mapping[str, Any]) -> dict[str, float]:
    """A labelled day's figures, from the facts in the commit of its samples."""
    clicked = facts["clicked"]
    found = {
        "rows": facts["samples"],
        "click_rate": clicked / facts["samples"],
        "unlabelled": facts["unlabelled"] / clicked,
        "mean_cvr": facts.get("mean_cvr"),  # None: no click of the day has a length
    }
    return {name: value for name, value in found.items() if value is not None}


def learn(days: Mapping[date, Figures], learnt: Learnt) -> dict[date, Bands]:
    """The bands of each day that has enough days before it.

    A band is centred on the median of the trailing days and as wide as the tolerance or, where that is more, as their
    own spread. A day outside of its bands teaches nothing: the days after it are held against those before it.
    """
    good: list[Figures] = []
    bands: dict[date, Bands] = {}
    for day in sorted(days):
        trailing = good[-learnt.days :] if learnt.days else []
        bands[day] = _bands(trailing, learnt) if len(trailing) >= learnt.least else {}
        if all(low <= days[day].get(name, low) <= high for name, (low, high) in bands[day].items()):
            good.append(days[day])
    return {day: found for day, found in bands.items() if found}


def _bands(trailing: list[Figures], learnt: Learnt) -> Bands:
    found = {}
    for name, tolerance in learnt.tolerances().items():
        values = [each[name] for each in trailing if name in each]
        if len(values) < learnt.least:
            continue
        centre = median(values)
        spread = _SIGMAS * _SIGMA_OF_MAD * median(abs(value - centre) for value in values)
        # A share that is near none has no scale of its own.
        width = max(spread, tolerance if name == "unlabelled" else tolerance * centre)
        found[name] = (max(0.0, centre - width), centre + width)
    return found
