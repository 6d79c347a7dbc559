"""Which run the stages after training work on."""

from typing import Any

from ncs.errors import DataError
from ncs.lake import storage
from ncs.lake.layout import Lake


def latest_run(lake: Lake) -> dict[str, Any]:
    """The description (`run.json`) of the run that `ncs train` finished last."""
    path = lake.uri("models", "latest.json")
    if not storage.exists(path):
        raise DataError(f"the lake {lake.root} has no trained run; run `ncs train`")
    return storage.read_json(lake.uri("models", storage.read_json(path)["run_id"], "run.json"))
