"""A run's trained models, ready to score encoded rows; small enough to be sent to every executor."""

import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from ncs.config import Config
from ncs.errors import TrainingError
from ncs.lake import storage
from ncs.models import build
from ncs.nets.model import Model
from ncs.pruning.mask import Mask
from ncs.training.artefact import as_whole, pack
from ncs.training.cluster import Cluster
from ncs.training.store import Store

_AT_ONCE = 2048
"""Rows: the crosses of so many stay in a core's cache, which more would not."""


@dataclass(frozen=True)
class Predictor:
    """One model: what builds it, and its weights as bytes, so that it can be pickled without torch's help."""

    conf: Config
    sizes: dict[str, int]
    state: bytes

    @classmethod
    def load(cls, folder: str, model: str, conf: Config, sizes: dict[str, int]) -> "Predictor":
        """From a run's folder. Raises TrainingError if the weights are not as they were written, or of another net."""
        place = storage.join(folder, conf.models[model].key(model))
        state = Store(place, Cluster()).load("model")
        try:
            state["net"] = as_whole(state["net"])
            loaded = cls(conf.of_model(model), sizes, pack(state))
            _ = replace(loaded).net  # a copy's: the net itself would be sent to every executor too
        except (KeyError, RuntimeError, TypeError, AttributeError) as err:
            reason = " ".join(str(err).split())[:200]
            raise TrainingError(
                f"{place}/model.pt holds no weights of {model} as run.json describes it ({type(err).__name__}: "
                f"{reason}); restore the file, or remove {place} and run `ncs train`"
            ) from None
        return loaded

    @cached_property
    def net(self) -> Model:
        """The trained model, its masks in place."""
        net = build(self.conf, self.sizes, seed=0)
        saved = torch.load(io.BytesIO(self.state), weights_only=True, map_location="cpu")
        net.load_state_dict(saved["net"])
        net.task_masks = {task: Mask(layers) for task, layers in saved["masks"].items()}
        return net.eval()

    @torch.no_grad()
    def predict(self, ids: np.ndarray, tasks: Iterable[str] | None = None) -> dict[str, np.ndarray]:
        """Ids int [rows, fields] in the order of `conf.fields` -> each task's prediction, float64 [rows].

        `tasks` are those that are asked for, by default all. Predictions lie strictly inside (0, 1), also where float32
        would round to an end.
        """
        found: dict[str, list[np.ndarray]] = {task: [] for task in tasks or self.net.tasks}
        for part in torch.from_numpy(ids.astype(np.int64)).split(_AT_ONCE):
            for task, parts in found.items():
                parts.append(self.net.probability(part, task).double().numpy())
        inside = np.nextafter(0.0, 1.0), np.nextafter(1.0, 0.0)
        return {task: np.clip(np.concatenate(parts), *inside) for task, parts in found.items()}
