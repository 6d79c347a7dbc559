"""What tests of faults have in common: a small run, its weights, and a stop on the way."""

from collections.abc import Callable

import pytest
import torch
from deltalake import CommitProperties, DeltaTable

from ncs.config import Config
from ncs.lake import storage
from ncs.lake.layout import Lake, Record, user_metadata
from ncs.runs.run import Run
from ncs.runs.training import train
from ncs.training.cluster import Cluster
from ncs.training.store import Store
from tests.factories import toy_conf


class KilledError(Exception):
    """The process ends here."""


def trained(lake: Lake, conf: Config) -> Run:
    """Train what the newest samples lack, in this process."""
    run = Run.of(conf, lake)
    train(run, Cluster(), lambda _: None, quiet=True)
    return run


def saved_state(run: Run, model: str) -> dict:
    """The weights and masks that a run ended with."""
    return Store(storage.join(run.folder, model), Cluster()).load("model")


def same(left: dict, right: dict) -> bool:
    """Whether two models agree in every bit."""
    return all(torch.equal(weight, right["net"][name]) for name, weight in left["net"].items()) and all(
        left[key].keys() == right[key].keys() and torch.equal(tensor, right[key][task][name])
        for key in ("masks", "task_weights")
        for task, tensors in left[key].items()
        for name, tensor in tensors.items()
    )


def killed(lake: Lake, conf: Config, when: Callable[[Store, str], bool]) -> Run:
    """Train until an artefact for which `when` holds is written, then stop as a killed process does."""
    save = Store.save

    def dying_save(self: Store, name: str, value: dict) -> None:
        save(self, name, value)
        if when(self, name):
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "save", dying_save)
        with pytest.raises(KilledError):
            trained(lake, conf)
    return Run.of(conf, lake)


def rewrite(lake: Lake) -> None:
    """Every day encoded again, to no rows; the pinned version's files stay."""
    records = [Record("encode", str(day), {}, {"rows": 0}) for day in toy_conf().logs.days]
    properties = CommitProperties(custom_metadata={"userMetadata": user_metadata(records)})
    for table in ("gold/ctr_samples", "gold/cvr_samples"):
        DeltaTable(lake.uri(table)).delete(commit_properties=properties)
