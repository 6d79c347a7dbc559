"""Which run the stages after training work on."""

import re
from typing import Any

from ncs.config import Config
from ncs.errors import DataError
from ncs.lake import storage
from ncs.lake.layout import Lake


def latest_run(lake: Lake) -> dict[str, Any]:
    """The description (`run.json`) of the run that `ncs train` finished last."""
    path = lake.uri("models", "latest.json")
    if not storage.exists(path):
        raise DataError(f"the lake {lake.root} has no trained run; run `ncs train`")
    run_id = storage.read_json(path)["run_id"]
    if not re.fullmatch(r"[A-Za-z0-9_-]+", run_id):  # it becomes part of paths and of SQL
        raise DataError(f"{path} names a run {run_id!r}, letters, digits, - and _ expected; run `ncs train`")
    return storage.read_json(lake.uri("models", run_id, "run.json"))


def folders(described: dict[str, Any], conf: Config) -> dict[str, str]:
    """The systems of a run, and what the folder of each in the run's is called: another definition has another."""
    for system in described["systems"]:
        if system not in conf.systems:
            raise DataError(
                f"run {described['run_id']} holds {system}, which its configuration no longer names; put it back "
                f"under systems and run `ncs train`"
            )
    return {system: conf.systems[system].key(system) for system in described["systems"]}
