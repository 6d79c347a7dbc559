"""Trained models of a run that score encoded rows; picklable, so that Spark can send them to its executors."""

import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from ncs.config import Config
from ncs.data_loading import Features
from ncs.errors import TrainingError
from ncs.lake import storage
from ncs.models import build
from ncs.nets.model import Model
from ncs.pruning.mask import Mask
from ncs.training.artefact import TrainedModel, as_whole, pack
from ncs.training.cluster import Cluster
from ncs.training.metrics import Validated
from ncs.training.store import Store, validation_key

_CHUNK = 2048
"""Rows whose crosses fit into a core's cache."""
_BOUNDS = np.nextafter(0.0, 1.0), np.nextafter(1.0, 0.0)


def validation_rows(folder: str, task: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions of a task's validation rows, float [rows] each, before the model was refitted.

    Predictions are strictly inside (0, 1). Raises TrainingError for a model of a version that did not keep them.
    """
    rows = Validated.from_artefact(Store(folder, Cluster()).load(validation_key(task)))
    return rows.labels, np.clip(rows.predictions.astype(float), *_BOUNDS)


@dataclass(frozen=True)
class Predictor:
    """One model: its configuration, and its weights as bytes, so that it is pickled without torch."""

    conf: Config
    sizes: dict[str, int]
    state: bytes

    @classmethod
    def load(cls, folder: str, model: str, conf: Config, sizes: dict[str, int]) -> "Predictor":
        """From a run's folder. Raises TrainingError if the weights have changed, or are those of another net."""
        model_folder = storage.join(folder, conf.models[model].key(model))
        artefact = Store(model_folder, Cluster()).load("model")
        try:
            own = {task: as_whole(weights) for task, weights in artefact.get("task_weights", {}).items()}
            trained = TrainedModel(as_whole(artefact["net"]), artefact["masks"], own)
            loaded = cls(conf.for_model(model), sizes, pack(vars(trained)))
            _ = replace(loaded).nets  # of a copy: `loaded` itself would be pickled with its net
        except (KeyError, RuntimeError, TypeError, AttributeError) as err:
            reason = " ".join(str(err).split())[:200]
            raise TrainingError(
                f"{model_folder}/model.pt holds no weights of {model} as run.json describes it ({type(err).__name__}: "
                f"{reason}); restore the file, or remove {model_folder} and run `ncs train`"
            ) from None
        return loaded

    @cached_property
    def nets(self) -> dict[str, Model]:
        """The trained model as each task has it: one net for all, but for tasks with weights of their own."""
        trained = TrainedModel(**torch.load(io.BytesIO(self.state), weights_only=True, map_location="cpu"))
        shared = self._net(trained, {})
        own = trained.task_weights
        return {task: self._net(trained, own[task]) if own.get(task) else shared for task in shared.tasks}

    def _net(self, trained: TrainedModel, own: dict[str, torch.Tensor]) -> Model:
        """A net with the trained masks and weights, some of them a task's own."""
        net = build(self.conf, self.sizes, seed=0)
        net.load_state_dict({**trained.net, **own})
        net.task_masks = {task: Mask(layers) for task, layers in trained.masks.items()}
        return net.eval()

    def known(self, ids: np.ndarray) -> np.ndarray:
        """Ids [rows, layout.id_width] of a vocabulary that has grown since, those that it lacks as 0, unknown."""
        sizes = next(iter(self.nets.values())).spec.inputs.size_of_column
        return np.where(ids < np.array(sizes), ids, 0)

    @torch.no_grad()
    def predict(
        self, ids: np.ndarray, numbers: np.ndarray | None = None, tasks: Iterable[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Encoded rows, in the columns of `conf.layout` -> each task's prediction, float64 [rows].

        Ids int [rows, layout.id_width], numbers float [rows, layout.number_width], None where there are none. By
        default of all tasks. Predictions are strictly inside (0, 1), also where float32 would round to 0 or 1.
        """
        predictions: dict[str, list[np.ndarray]] = {task: [] for task in tasks or self.nets}
        whole = Features.of_ids(torch.from_numpy(ids.astype(np.int64)))
        if numbers is not None:
            whole = Features(whole.ids, torch.from_numpy(numbers.astype(np.float32)))
        for chunk in whole.split(_CHUNK):
            for task, chunks in predictions.items():
                chunks.append(self.nets[task].probability(chunk, task).double().numpy())
        return {task: np.clip(np.concatenate(chunks), *_BOUNDS) for task, chunks in predictions.items()}
