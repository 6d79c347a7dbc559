"""`reports/index.html`: the pages of the lake's runs, comparisons, sweeps and simulations, the newest first.

Beside each page stands an `entry.json`, what the index says of it; the index is made of those that are there.
"""

from dataclasses import asdict
from datetime import datetime

from ncs.evaluation.index import Entry, render
from ncs.lake import storage
from ncs.lake.documents import PageEntry
from ncs.lake.layout import Lake

RUN, COMPARISON, SWEEP, SIMULATION = "run", "comparison", "sweep", "simulation"
LINK = "../index.html"
"""The way to the index from a page, which stands in a folder of its own."""
_ENTRY = "entry.json"


def add(lake: Lake, entry: Entry) -> str:
    """List a page that was written, in place of what was listed of it before. Returns where the index stands."""
    folder = entry.path.partition("/")[0]
    storage.write_json(lake.uri("reports", folder, _ENTRY), asdict(entry))
    path = lake.uri("reports", "index.html")
    storage.write_bytes(path, render(entries(lake)).encode())
    return path


def entries(lake: Lake) -> list[Entry]:
    """What is listed of every page that is there; a broken entry is left out until its page is written again."""
    found = []
    for folder in storage.folders(lake.uri("reports")):
        values = storage.derived_json(lake.uri("reports", folder, _ENTRY), PageEntry)
        if values and storage.exists(lake.uri("reports", values["path"])):
            known = {name: values[name] for name in ("kind", "name", "path", "headline", "detail")}
            found.append(Entry(**known, made_at=datetime.fromisoformat(values["made_at"])))
    return found
