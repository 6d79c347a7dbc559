"""The page of data quality: what failed, with rows at fault; each day's outcomes and figures; every rule's finding.

It shows the newest check of each table and day, and needs no network.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ncs.config import Config
from ncs.evaluation.page import render
from ncs.lake import storage
from ncs.lake.layout import ALL, SAMPLES, Lake
from validation import bands, page, tables, verdicts
from validation.verdicts import Checked, Finding, Verdict

EARLIER = ("gx", "data_docs")
"""Folders of pages that an earlier version made, which show rows too."""


@dataclass(frozen=True)
class Value:
    """A figure of one day; `band`: what the days before let expect, if they are enough."""

    text: str
    band: str = ""
    holds: bool = True


@dataclass(frozen=True)
class Figure:
    """A figure of the labelled samples, by day."""

    title: str
    values: Mapping[str, Value]
    line: str
    """Points of a curve within 100 x 20, in the order of the days."""


def uri(lake: Lake) -> str:
    """The path of the page."""
    return lake.uri("validation", "quality.html")


def write(lake: Lake, conf: Config) -> None:
    """Write the page."""
    checked = verdicts.newest_rows(lake)
    names = [table for table in tables(conf) if any(table == name for name, _ in checked)]
    newest = [verdict for verdict in map(verdicts.read, _documents(lake)) if verdict and _is_newest(verdict, checked)]
    shown = figures(lake, conf)
    values = {
        "made_at": datetime.now(UTC),
        "lake": lake.root,
        "tables": names,
        "profiles": [table for table in names if (table, ALL) in checked],
        "days": sorted({day for _, day in checked if day != ALL}),
        "outcomes": {key: check.outcome for key, check in checked.items()},
        "blocked": sorted({day for (_, day), check in checked.items() if check.outcome == "stop"}),
        "failing": [(page(f"{each.table}-{each.days}"), each, _examples(each)) for each in newest if each.failed],
        "verdicts": newest,
        "figures": shown,
        "labelled": sorted({day for figure in shown for day in figure.values}),
    }
    for folder in EARLIER:
        storage.remove(lake.uri("validation", folder))
    storage.write_bytes(uri(lake), render("quality.html", **values).encode())


def forget(lake: Lake) -> None:
    """Remove the page and the verdicts that it is made of, which show rows; the next check makes them again."""
    for each in [uri(lake), *_documents(lake), *(lake.uri("validation", folder) for folder in EARLIER)]:
        storage.remove(each)


def figures(lake: Lake, conf: Config) -> list[Figure]:
    """Figures of the labelled days, beside the bands that were learnt from the days before each."""
    facts = bands.facts_by_day(lake.records(SAMPLES), conf.fields)
    learnt = bands.learn(facts, conf.gates.learnt)
    by_day = {day: _figures(each) for day, each in sorted(facts.items())}
    return [
        Figure(
            title,
            {
                str(day): _value(own[name], unit, learnt.get(day, {}).get(name))
                for day, own in by_day.items()
                if name in own
            },
            _line([own[name] for own in by_day.values() if name in own]),
        )
        for name, title, unit in _SHOWN
    ]


_SHOWN = (
    ("rows", "samples", ",.0f"),
    ("click_rate", "click rate", ".1%"),
    ("mean_cvr", "mean CVR label", ".3f"),
    ("unlabelled", "clicked rows without a CVR label", ".1%"),
    ("quarantined", "rows of the logs in quarantine", ".2%"),
    ("duplicates", "rows of the logs that repeat another", ".2%"),
)
"""Figure, its name for people, format."""


def _figures(facts: bands.Facts) -> dict[str, float]:
    logs = facts.get("logs", {}).values()
    rows = sum(log["rows"] for log in logs)
    if not rows:
        return bands.figures(facts)
    quarantined = sum(sum(log["quarantined"].values()) for log in logs)
    return {
        **bands.figures(facts),
        "quarantined": quarantined / rows,
        "duplicates": sum(log["duplicates"] for log in logs) / rows,
    }


def _value(value: float, unit: str, band: bands.Band | None) -> Value:
    text = format(value, unit)
    return Value(text, f"{band.low:{unit}} to {band.high:{unit}}", band.holds) if band else Value(text)


def _line(values: Sequence[float]) -> str:
    low, high = min(values, default=0.0), max(values, default=0.0)
    step = 100 / max(len(values) - 1, 1)
    heights = [18 - 16 * (value - low) / (high - low) if high > low else 10.0 for value in values]
    return " ".join(f"{n * step:.1f},{height:.1f}" for n, height in enumerate(heights))


def _documents(lake: Lake) -> list[str]:
    folder = lake.uri("validation")
    return [storage.join(folder, name) for name in sorted(storage.entries(folder)) if name.endswith(".json")]


def _is_newest(verdict: Verdict, checked: Mapping[tuple[str, str], Checked]) -> bool:
    """Whether nothing was found later about one of its days: that of a day that was bad stays when it is good again."""
    return any(
        (verdict.table, key) in checked
        and (checked[verdict.table, key].version, checked[verdict.table, key].outcome)
        == (verdict.version, verdict.outcome(key)[0])
        for key in verdict.parts()
    )


def _examples(verdict: Verdict) -> list[tuple[Finding, list[list[tuple[str, str]]]]]:
    """The failures, each with rows at fault as pairs of column and value."""
    return [(finding, [_cells(text) for text in finding.examples]) for finding in verdict.failed]


def _cells(text: str) -> list[tuple[str, str]]:
    try:
        row = json.loads(text)
    except ValueError:  # an exception of a query: text already
        return [("", text)]
    return [(name, str(value)) for name, value in row.items()] if isinstance(row, dict) else [("", text)]
