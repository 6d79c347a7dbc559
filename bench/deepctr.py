"""DeepCTR-Torch on the common work: its MMoE and shared-bottom, its `fit`."""

import contextlib
import io
from unittest import mock

import numpy as np
import torch
from deepctr_torch.inputs import SparseFeat
from deepctr_torch.models import basemodel
from deepctr_torch.models.multitask.mmoe import MMOE
from deepctr_torch.models.multitask.sharedbottom import SharedBottom

from bench.work import Work

BATCH = 2048
COMMON = {
    "tower_dnn_hidden_units": (64,),
    "task_types": ("binary", "regression"),
    "task_names": ("ctr", "cvr"),
    "l2_reg_embedding": 0,  # its default goes through the whole table in every step
    "l2_reg_linear": 0,
}


class DeepCtr:
    """An architecture of DeepCTR-Torch, fed by its own loader or with batches that were cut beforehand."""

    def __init__(
        self, architecture: str, work: Work, ids: dict[str, np.ndarray], labels: np.ndarray, cut: bool
    ) -> None:
        self.name = f"deepctr-torch {architecture}, {'cut beforehand' if cut else 'own loader'}"
        columns = [SparseFeat(name, size, embedding_dim=8) for name, size in work.sizes.items()]
        common = COMMON | {"device": work.device}
        self._model = (
            MMOE(columns, num_experts=4, expert_dnn_hidden_units=(128,), gate_dnn_hidden_units=(), **common)
            if architecture == "mmoe"
            else SharedBottom(columns, bottom_dnn_hidden_units=(128,), **common)
        )
        self._model.compile("adam", loss=["binary_crossentropy", "mse"], metrics=[])
        self._ids, self._labels, self._cut, self._device = ids, labels, cut, work.device

    def prepare(self, rows: int) -> None:
        """Make what an epoch of the first `rows` rows is fed from."""
        self._x, self._y = {name: values[:rows] for name, values in self._ids.items()}, self._labels[:rows]
        order = np.random.default_rng(0).permutation(rows)
        whole = torch.from_numpy(np.stack(list(self._x.values()), 1)[order]).to(self._device)
        labels = torch.from_numpy(self._y[order]).to(self._device)
        self._batches = list(zip(whole.split(BATCH), labels.split(BATCH), strict=True))

    def train(self) -> None:
        """An epoch of what was prepared."""
        cut = mock.patch.object(basemodel, "DataLoader", return_value=self._batches)
        with contextlib.redirect_stdout(io.StringIO()), cut if self._cut else contextlib.nullcontext():
            self._model.fit(dict(self._x), self._y, batch_size=BATCH, epochs=1, verbose=0)

    def predict(self, ids: dict[str, np.ndarray]) -> np.ndarray:
        """Both tasks' predictions [rows, 2]."""
        predicted: np.ndarray = self._model.predict(dict(ids), batch_size=8192)
        return predicted
