"""Gradient boosted decision trees of LightGBM (Ke et al., NeurIPS 2017): what one would use instead of a net.

Trees of each task by itself, on the numbers and ids of the same rows; ids of tables with many rows are left out, for
trees split ids one by one, and so are lists of more than a few different elements. The state is the trees' text, so
that runs, manifests and prediction work as for any other model. The extra `trees` has the package.
"""

import importlib
import time
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ncs.config import Config
from ncs.config.learning import Gbdt as Settings
from ncs.data_loading import Features, Loader
from ncs.errors import ExportError, TrainingError
from ncs.kinds import Buckets
from ncs.lake.documents import Epoch
from ncs.models import ModelType
from ncs.nets.layers import Subnetwork
from ncs.nets.model import Group, Model, NetSpec
from ncs.tasks import Task
from ncs.training.cluster import Cluster
from ncs.training.loop import Trainer, record_validation
from ncs.training.metrics import validate

OBJECTIVES = {"cross_entropy": "cross_entropy", "squared_error": "regression", "focal": "cross_entropy"}
"""By the task's loss: LightGBM's name of the objective; it has no focal loss."""


class Gbdt(Model):
    """Trees for each task; before they are trained, each prediction is 0.5."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        self.groups = tuple(Group((task,), (task,)) for task in spec.tasks)
        self.columns = Columns(spec)
        self._read: dict[str, tuple[Tensor, Any]] = {}
        for task in spec.tasks:
            self.register_buffer(_state(task), torch.empty(0, dtype=torch.uint8))

    @property
    def device(self) -> torch.device:
        """Where the text of the trees is; they predict on the CPU."""
        return next(self.buffers()).device

    def text(self, task: str) -> str:
        """The task's trees in LightGBM's format, empty before they are trained."""
        return bytes(self.get_buffer(_state(task)).cpu().numpy()).decode()

    def keep(self, task: str, booster: Any) -> None:
        """Make trained trees the task's."""
        content = np.frombuffer(booster.model_to_string().encode(), np.uint8)
        self.register_buffer(_state(task), torch.from_numpy(content.copy()))

    def probability(self, features: Features, task: str) -> Tensor:
        """The trees' prediction, within [0, 1]."""
        booster = self.booster(task)
        if booster is None or not features.rows:
            return torch.full((features.rows,), 0.5, device=features.device)
        predicted = booster.predict(self.columns.matrix(features), num_threads=torch.get_num_threads())
        return torch.from_numpy(predicted.clip(0, 1)).float().to(features.device)

    def logits(self, features: Features, task: str) -> Tensor:
        """The logits of the predictions."""
        return torch.logit(self.probability(features, task), eps=1e-6)

    def subnetwork(self, task: str, member: int = 0) -> Subnetwork:
        """Trees are no network. Raises ExportError."""
        raise ExportError(
            f"gbdt has trees for {task}, no network to export; LightGBM reads its text: ncs.models.gbdt.Gbdt.text"
        )

    def size(self) -> int:
        """The number of leaves of all trees."""
        lines = (line for task in self.tasks for line in self.text(task).splitlines())
        return sum(int(line.partition("=")[2]) for line in lines if line.startswith("num_leaves="))

    def booster(self, task: str) -> Any:
        """The task's trees as LightGBM has them, read once; None before they are trained."""
        state = self.get_buffer(_state(task))
        if not state.numel():
            return None
        if task not in self._read or self._read[task][0] is not state:
            self._read[task] = state, lightgbm().Booster(model_str=self.text(task))
        return self._read[task][1]

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *more: Any) -> None:
        """Texts have no length of their own before they are loaded."""
        for task in self.tasks:
            if (saved := state_dict.get(prefix + _state(task))) is not None:
                self.register_buffer(_state(task), torch.empty_like(saved, device=self.device))
        super()._load_from_state_dict(state_dict, prefix, *more)


class Columns:
    """The inputs of trees: single ids of small tables, how often an element is in a list, all numbers."""

    def __init__(self, spec: NetSpec) -> None:
        inputs, most = spec.inputs, spec.net.gbdt.categories
        spans = inputs.layout.id_spans
        small = [slot for slot in inputs.layout.ids if inputs.sizes[slot.table] <= most]
        self.single = {slot.name: spans[slot.name].start for slot in small if not slot.is_list}
        self.lists = [(spans[slot.name], inputs.sizes[slot.table]) for slot in small if slot.is_list]
        self.width = len(self.single) + sum(size for _, size in self.lists) + inputs.layout.number_width
        if not self.width:
            raise TrainingError(
                f"gbdt: no feature is a number, or has at most {most} ids; add statistics, or raise net.gbdt.categories"
            )

    def matrix(self, features: Features) -> np.ndarray:
        """Features of a batch -> float32 [rows, width], NaN where a number is missing."""
        ids, numbers = features.ids.cpu().numpy(), features.numbers.cpu().numpy()
        blocks = [ids[:, list(self.single.values())], *(_counts(ids[:, span], n) for span, n in self.lists), numbers]
        return np.concatenate(blocks, axis=1, dtype=np.float32)

    def categorical(self, conf: Config) -> list[int]:
        """The positions of ids without an order: those of buckets rise with the value."""
        return [n for n, name in enumerate(self.single) if not isinstance(conf.features[name], Buckets)]


def train(net: Gbdt, trainer: Trainer, conf: Config) -> None:
    """Each task by itself: as many trees as do best on validation; then, with `train.refit`, as many on all rows.

    Every worker trains on all rows, and so ends with the same trees.
    """
    for task in net.tasks:
        fit = _Fit(net, task, conf, trainer.cluster)
        trees = fit.train("trees", trainer.loaders[task], trainer.validation[task], trainer)
        record_validation(net, trainer, [task])
        if trainer.refit_loaders is not None:
            fit.train("trees_refit", trainer.refit_loaders[task], None, trainer, trees)


class _Fit:
    """The training of a task's trees."""

    def __init__(self, net: Gbdt, task: str, conf: Config, cluster: Cluster) -> None:
        self.net, self.task, self.conf, self.cluster = net, net.tasks[task], conf, cluster

    def train(
        self, phase: str, loader: Loader, validation: Loader | None, trainer: Trainer, trees: int | None = None
    ) -> int:
        """Train on the rows of a loader, leave the trees in the net, log it; returns their number.

        Without `trees`, as many as do best on validation.
        """
        started, settings = time.monotonic(), self.conf.net.gbdt
        rows = self._rows(loader)
        stop = lightgbm().early_stopping(settings.patience, verbose=False)
        booster = lightgbm().train(
            _parameters(self.task, settings, self.conf.train.seed),
            rows,
            num_boost_round=trees or settings.trees,
            valid_sets=[] if validation is None else [self._rows(validation, rows)],
            callbacks=[] if validation is None else [stop],
        )
        self.net.keep(self.task.name, booster)
        score = None if validation is None else validate(self.net, self.task.name, validation, self.cluster)
        variance = trainer.label_variance[self.task.name]
        trainer.store.log(
            Epoch(
                phase=phase,
                task=self.task.name,
                round=None,
                epoch=1,
                loss={},
                validation={} if score is None else {self.task.score: score},
                skill=0.0 if score is None else self.task.measure.skill(score, variance),
                seconds=time.monotonic() - started,
                samples=rows.num_data(),
                wait_share=0.0,
                workers=self.cluster.size,
            )
        )
        return booster.best_iteration if validation is not None else booster.current_iteration()

    def _rows(self, loader: Loader, reference: Any = None) -> Any:
        """All rows of all workers as LightGBM wants them."""
        columns = self.net.columns
        batches = [
            (columns.matrix(batch.features), batch.labels[self.task.name].cpu().numpy())
            for batch in loader.resharded(0, 1).epoch(0)
        ]
        matrix, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        categorical = columns.categorical(self.conf)
        data = lightgbm().Dataset(matrix, labels, reference=reference, categorical_feature=categorical)
        return data.construct()


def _parameters(task: Task, settings: Settings, seed: int) -> dict[str, Any]:
    """LightGBM's parameters; the same rows give the same trees, whatever the number of threads."""
    return {
        "objective": OBJECTIVES[task.loss],
        "num_leaves": settings.leaves,
        "learning_rate": settings.learning_rate,
        "min_data_in_leaf": settings.min_rows,
        "feature_fraction": settings.share,
        "bagging_fraction": settings.share,
        "bagging_freq": 1,
        "seed": seed,
        "num_threads": torch.get_num_threads(),
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def _counts(ids: np.ndarray, size: int) -> np.ndarray:
    """Ids of lists [rows, length], padding below 0 -> how often each of `size` ids is in a row, [rows, size]."""
    rows, columns = np.nonzero(ids >= 0)
    places = rows * size + ids[rows, columns]
    return np.bincount(places, minlength=len(ids) * size).reshape(len(ids), size)


def _state(task: str) -> str:
    """The name of the buffer that has the text of a task's trees."""
    return f"trees_{task}"


def lightgbm() -> ModuleType:
    """The package. Raises TrainingError where it is not installed."""
    try:
        return importlib.import_module("lightgbm")
    except ImportError:
        raise TrainingError("gbdt needs lightgbm, which is not installed; pip install 'ncs[trees]'") from None


MODEL = ModelType(Gbdt, train)
