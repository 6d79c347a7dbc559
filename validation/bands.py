"""Bands that a day's figures must lie in, learnt from the days before it. Pure functions, no Spark."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from statistics import median
from typing import Any, NamedTuple

from ncs.config.gates import Learnt
from ncs.lake.commits import Record
from validation.psi import psi

Facts = Mapping[str, Any]
"""The facts in the commit of a day's samples (`ncs label`)."""
Figures = Mapping[str, float]


class Band(NamedTuple):
    """The interval in which a figure should lie, and the figure."""

    low: float
    high: float
    value: float

    @property
    def holds(self) -> bool:
        """Whether the figure lies in the band."""
        return self.low <= self.value <= self.high


Bands = dict[str, Band]
"""Figure -> band. A figure of a column is `<kind>.<column>`, its kind a tolerance of `gates.learnt`."""

_SIGMAS = 4.0
_SIGMA_OF_MAD = 1.4826  # the standard deviation of a normal distribution, in median absolute deviations
_RELATIVE = ("rows", "click_rate", "mean_cvr")
"""The kinds whose tolerance is a part of the median; shares near none have no scale of their own."""


def figures(facts: Facts, trailing: Sequence[Facts] = ()) -> dict[str, float]:
    """A labelled day's figures, from its facts; new ids and distributions are taken against those of the days before.

    `rows`, `click_rate`, `unlabelled` (share of the clicked rows), `mean_cvr`; `nulls.<column>` (share of the rows);
    `new_ids.<column>` (share of the day's ids that the days before did not have); `psi.<column>` (the population
    stability index of its values). Profiles that an earlier version wrote lack distributions: they have no `psi`.
    """
    clicked = facts["clicked"]
    values = {
        "rows": facts["samples"],
        "click_rate": clicked / facts["samples"],
        "unlabelled": facts["unlabelled"] / clicked,
        "mean_cvr": facts.get("mean_cvr"),  # None: no click of the day has a length
    }
    profile, before = facts.get("profile", {}), [day["profile"] for day in trailing if "profile" in day]
    values |= {f"nulls.{name}": share for name, share in profile.get("nulls", {}).items()}
    if before:
        values |= {f"new_ids.{name}": _new(name, profile, before) for name in profile.get("ids", {})}
        columns = [*profile.get("quantiles", {}), *profile.get("histogram", {})]
        values |= {f"psi.{name}": psi(name, profile, before) for name in columns}
    return {name: value for name, value in values.items() if value is not None}


def without_left(facts: Facts, fields: Collection[str]) -> Facts:
    """The facts without the nulls of columns that a day lacks altogether, unless they are among `fields`.

    A column that is no feature may leave the logs.
    """
    profile = facts.get("profile", {})
    nulls = {name: share for name, share in profile.get("nulls", {}).items() if share < 1 or name in fields}
    return {**facts, "profile": {**profile, "nulls": nulls}} if profile else facts


def facts_by_day(records: Mapping[str, tuple[int, Record]], fields: Collection[str]) -> dict[date, Facts]:
    """The facts of each labelled day (`Lake.records` of its samples), as `without_left`."""
    return {date.fromisoformat(day): without_left(record.facts, fields) for day, (_, record) in records.items()}


def learn(days: Mapping[date, Facts], learnt: Learnt) -> dict[date, Bands]:
    """The bands of each day that has enough days before it.

    A band is centred on the median of the trailing days and as wide as the tolerance or, where that is more, as their
    own spread. A day that its bands stop teaches nothing: the days after it are compared with those before it.
    """
    good: list[tuple[Facts, Figures]] = []
    bands: dict[date, Bands] = {}
    for day in sorted(days):
        trailing = good[-learnt.days :] if learnt.days else []
        own = figures(days[day], [facts for facts, _ in trailing])
        enough = len(trailing) >= learnt.least
        bands[day] = _bands(own, [before for _, before in trailing], learnt) if enough else {}
        if all(band.holds for name, band in bands[day].items() if figure_kind(name) not in learnt.warn):
            good.append((days[day], own))
    return {day: own for day, own in bands.items() if own}


def figure_kind(figure: str) -> str:
    """The kind of a figure: its name, without the column."""
    return figure.partition(".")[0]


def _bands(own: Figures, trailing: Sequence[Figures], learnt: Learnt) -> Bands:
    bands: Bands = {}
    for name, value in own.items():
        kind = figure_kind(name)
        tolerance = learnt.tolerances()[kind]
        if kind == "psi":  # is itself a distance from the days before
            bands[name] = Band(0.0, tolerance, value)
            continue
        values = [each[name] for each in trailing if name in each]
        if len(values) < learnt.least:
            continue
        centre = median(values)
        spread = _SIGMAS * _SIGMA_OF_MAD * median(abs(value - centre) for value in values)
        width = max(spread, tolerance * centre if kind in _RELATIVE else tolerance)
        # Fewer new ids or nulls than before are no fault: a column begins, or is filled at last.
        low = 0.0 if kind in ("new_ids", "nulls") else max(0.0, centre - width)
        bands[name] = Band(low, centre + width, value)
    return bands


def _new(name: str, profile: Facts, before: Sequence[Facts]) -> float | None:
    """The share of new ids, among those with hashes so small that every day remembers them."""
    earlier = [each["ids"][name] for each in before if name in each["ids"]]
    below = min(each["below"] for each in [profile["ids"][name], *earlier])
    known = {seen for each in earlier for seen in each["seen"]}
    ids = [seen for seen in profile["ids"][name]["seen"] if seen < below]
    return sum(seen not in known for seen in ids) / len(ids) if ids and earlier else None
