"""The index of all pages of a lake: runs, comparisons, sweeps and simulations, the newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ncs.evaluation import page


@dataclass(frozen=True)
class Entry:
    """A page in the index."""

    kind: str
    """What it is of: `run`, `comparison`, `sweep` or `simulation`."""
    name: str
    """The id of what it is of."""
    made_at: datetime
    path: str
    """From the index."""
    headline: str
    """Its verdict."""
    detail: str
    """What was compared, on what."""


def render(entries: Sequence[Entry]) -> str:
    """The index page."""
    kinds = dict.fromkeys(entry.kind for entry in entries)
    newest_first = sorted(entries, key=lambda entry: entry.made_at, reverse=True)
    return page.render("index.html", entries=newest_first, kinds=list(kinds))
