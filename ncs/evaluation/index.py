"""`reports/index.html`: the pages of the lake's runs, comparisons, sweeps and simulations, the newest first.

Beside each page stands an `entry.json`, what the index says of it; the index is made of those that are there.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Annotated

from pydantic import Field

from ncs.evaluation import page
from ncs.lake import storage
from ncs.lake.layout import Lake

RUN, COMPARISON, SWEEP, SIMULATION = "run", "comparison", "sweep", "simulation"
LINK = "../index.html"
"""The way to the index from a page, which stands in a folder of its own."""
_ENTRY = "entry.json"


@dataclass(frozen=True)
class Entry:
    """A page in the index."""

    kind: str
    """`run`, `comparison`, `sweep` or `simulation`."""
    name: str
    """The id of what it is of."""
    made_at: datetime
    path: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*$")]
    """From the index: the page's folder and its name."""
    headline: str
    """Its verdict."""
    detail: str
    """What was compared, on what."""


def add(lake: Lake, entry: Entry) -> str:
    """List a page that was written, in place of what was listed of it before. Returns where the index stands."""
    folder = entry.path.partition("/")[0]
    storage.write_json(lake.uri("reports", folder, _ENTRY), asdict(entry))
    path = lake.uri("reports", "index.html")
    storage.write_bytes(path, render(entries(lake)).encode())
    return path


def entries(lake: Lake) -> list[Entry]:
    """The entries of all pages; a broken entry is left out until its page is written again."""
    listed = []
    for folder in storage.folders(lake.uri("reports")):
        values = storage.derived_json(lake.uri("reports", folder, _ENTRY), Entry)
        if values and storage.exists(lake.uri("reports", values["path"])):
            known = {field.name: values[field.name] for field in fields(Entry)}
            listed.append(Entry(**{**known, "made_at": datetime.fromisoformat(values["made_at"])}))
    return listed


def render(entries: Sequence[Entry]) -> str:
    """The index page."""
    kinds = dict.fromkeys(entry.kind for entry in entries)
    newest_first = sorted(entries, key=lambda entry: entry.made_at, reverse=True)
    return page.render("index.html", entries=newest_first, kinds=list(kinds))
