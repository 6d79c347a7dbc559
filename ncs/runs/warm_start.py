"""Going on from a trained run: its weights and masks, tables grown by the new ids, one pass over the new days.

The new days' rows are scored by the weights as they come, before they learn from them: these figures stand in the place
of validation.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ncs.config import Config
from ncs.days import Days
from ncs.errors import DataError, TrainingError
from ncs.kinds import Layout
from ncs.lake import layout, manifest, storage
from ncs.lake.documents import RunDescription, read_document
from ncs.lake.layout import ALL, Lake
from ncs.lake.vocabulary import is_successor
from ncs.nets.model import Model
from ncs.pruning.mask import Mask
from ncs.training.artefact import as_whole
from ncs.training.cluster import Cluster
from ncs.training.loop import Trainer, record_validation
from ncs.training.phase import Phase
from ncs.training.store import Store, optimizer_key

_EQUAL = ("fields", "statistics", "history", "tasks", "net", "share")
"""The keys that decide a net's shape and the meaning of its inputs."""


@dataclass(frozen=True)
class Parent:
    """The trained run that another goes on from."""

    lake: Lake
    run_id: str

    @cached_property
    def described(self) -> RunDescription:
        """Its description. Raises DataError if it is not there, or its files are not what training wrote."""
        folder = self.lake.uri("models", layout.check_run_id(self.run_id, "--from"))
        path = storage.join(folder, manifest.RUN)
        if not storage.exists(path):
            raise DataError(f"--from {self.run_id}: {path} is not there; name a finished run, or train without --from")
        manifest.verify(folder)
        return read_document(path, RunDescription, "restore it, or train without --from")

    @cached_property
    def conf(self) -> Config:
        """Its configuration."""
        return self.described.configuration

    def new_days(self, days: Days) -> Days:
        """Those of the days that come after all that it was trained on. Raises DataError if there is none."""
        last = self.conf.train_days.last
        new = [day for day in days if day > last]
        if not new:
            raise DataError(f"--from {self.run_id}: it was trained on days up to {last}, and {days} has none after it")
        return Days.of(new)

    def check(self, conf: Config, vocabulary: Mapping[str, Any]) -> None:
        """Raise DataError if a run of this configuration and vocabulary (facts by key) cannot go on from it."""
        problem = next(self._problems(conf, vocabulary), None)
        if problem:
            raise DataError(f"--from {self.run_id}: {problem}; train without --from")

    def _problems(self, conf: Config, vocabulary: Mapping[str, Any]) -> Iterator[str]:
        own, its = conf.part(*_EQUAL), self.conf.part(*_EQUAL)
        for key in _EQUAL:
            if own[key] != its[key]:
                yield f"its {key} is not as configured now"
        for name in conf.train.models:
            if name not in self.described.models or conf.models[name] != self.conf.models[name]:
                yield f"it has no {name} of the same definition"
            if conf.has_trees(name):
                yield f"{name} has trees, which are trained from nothing"
        if not is_successor(vocabulary.get(ALL, {}), self.described.vocabulary.get(ALL, {})):
            yield "its ids are of another vocabulary, which this one has not grown from (`vocabulary: stable`)"
        if conf.train.embeddings == "sharded":
            yield "train.embeddings=sharded is not supported"

    def load(self, net: Model, model: str, conf: Config, sizes: dict[str, int]) -> None:
        """Give a new net the weights and masks of a model of it.

        `sizes` are the new rows of each table: ids that it does not know start from its row for unknown values. Where
        validation chose another epoch for each task, the weights are the mean of these epochs.
        """
        artefact = Store(self._folder(model), Cluster()).load("model")
        whole, own = as_whole(artefact["net"]), artefact.get("task_weights", {})
        states = [{**whole, **as_whole(weights)} for weights in own.values()]
        states += [whole] * (len(net.tasks) - len(states))
        before, after = self._rows(conf.layout, sizes)
        grown = {
            name: _grown(_mean([state[name] for state in states]), weight, before, after)
            for name, weight in net.state_dict().items()
        }
        net.load_state_dict(grown)
        net.task_masks = {task: Mask(layers) for task, layers in artefact["masks"].items()}

    def train(self, net: Model, trainer: Trainer, model: str, sizes: dict[str, int]) -> None:
        """Train a net that `load` has filled on the new days' rows; its masks stay as they are."""
        record_validation(net, trainer, tuple(net.tasks))
        # The new days' rows are few: the penalty would pull each row to 0 again, away from what the parent has learnt.
        trainer = replace(trainer, conf=trainer.conf.model_copy(update={"embedding_l2": 0.0}))
        for group in net.groups:
            phase = Phase("warm", group.tasks, group.samples, 1, kept=dict.fromkeys(group.tasks, 1))
            same = trainer.conf.embedding_optimizer == self.conf.for_model(model).train.embedding_optimizer
            trainer.fit(net, phase, self._optimizer(model, group.tasks, net, sizes) if same else None)
        masks = storage.join(self._folder(model), "masks.json")
        if storage.exists(masks):
            trainer.store.write_json("masks", storage.read_json(masks))

    def _optimizer(self, model: str, tasks: Sequence[str], net: Model, sizes: dict[str, int]) -> dict[str, Any] | None:
        """The optimiser's state that a group of tasks ended with, new rows without any; None: it was not kept."""
        store = Store(self._folder(model), Cluster())
        if not store.has(optimizer_key(tasks)):
            return None
        state = store.load(optimizer_key(tasks))
        before, after = self._rows(net.spec.inputs.layout, sizes)
        return {**state, "rows": {name: _with_rows(rows, before, after) for name, rows in state["rows"].items()}}

    def _rows(self, layout: Layout, sizes: Mapping[str, int]) -> tuple[list[int], list[int]]:
        """The rows of each table, then and now."""
        then, now = ([of[table] for table in layout.tables] for of in (self.described.sizes, sizes))
        return then, now

    def _folder(self, model: str) -> str:
        return self.lake.uri("models", self.run_id, self.conf.models[model].key(model))


def _mean(weights: list[Tensor]) -> Tensor:
    first = weights[0]
    if not first.is_floating_point() or all(weight is first for weight in weights):
        return first
    return torch.stack(weights).mean(0)


def _grown(old: Tensor, new: Tensor, before: list[int], after: list[int]) -> Tensor:
    """A weight for a net with larger tables, `before` and `after` being their rows: those of each after the other.

    Raises TrainingError for a weight that is no such table and has another shape.
    """
    if old.shape == new.shape:
        return old
    if old.shape[0] != sum(before) or new.shape[0] != sum(after) or old.shape[1:] != new.shape[1:]:
        raise TrainingError(f"a weight of shape {list(old.shape)} cannot become one of {list(new.shape)}")
    return _with_rows(old, before, after, like_unknown=True)


def _with_rows(old: Tensor, before: list[int], after: list[int], like_unknown: bool = False) -> Tensor:
    """Tables that stand after each other, each with more rows: zeros, or the table's first row again."""
    parts = []
    for table, rows in zip(old.split(before), after, strict=True):
        new = table[:1].expand(rows - len(table), *table.shape[1:])
        parts.append(torch.cat([table, new if like_unknown else torch.zeros_like(new)]))
    return torch.cat(parts)
