"""torch-rechub on the common work: its MMoE and shared-bottom, its trainer."""

import contextlib
import io

import numpy as np
import torch
from torch_rechub.basic.features import SparseFeature
from torch_rechub.models.multi_task import MMOE, SharedBottom
from torch_rechub.trainers import MTLTrainer
from torch_rechub.utils.data import DataGenerator

from bench.work import Work

BATCH = 2048


class Rechub:
    """An architecture of torch-rechub, fed by its own loader or with batches that were cut beforehand."""

    def __init__(
        self, architecture: str, work: Work, ids: dict[str, np.ndarray], labels: np.ndarray, cut: bool
    ) -> None:
        self.name = f"torch-rechub {architecture}, {'cut beforehand' if cut else 'own loader'}"
        torch.manual_seed(0)
        features = [SparseFeature(name, size, embed_dim=8) for name, size in work.sizes.items()]
        towers = [{"dims": [64]}, {"dims": [64]}]
        kinds = ["classification", "regression"]
        self._model = (
            MMOE(features, kinds, n_expert=4, expert_params={"dims": [128]}, tower_params_list=towers)
            if architecture == "mmoe"
            else SharedBottom(features, kinds, bottom_params={"dims": [128]}, tower_params_list=towers)
        )
        self._trainer = MTLTrainer(self._model, kinds, optimizer_params={"lr": 0.001}, device=work.device)
        self._ids, self._labels, self._cut, self._device = ids, labels, cut, work.device

    def prepare(self, rows: int) -> None:
        """Make what an epoch of the first `rows` rows is fed from."""
        ids = {name: values[:rows] for name, values in self._ids.items()}
        labels = self._labels[:rows]
        if self._cut:
            order = np.random.default_rng(0).permutation(len(labels))
            tensors = {
                name: torch.from_numpy(values[order]).to(self._device).split(BATCH) for name, values in ids.items()
            }
            cut = torch.from_numpy(labels[order]).to(self._device).split(BATCH)
            self._batches = [({name: parts[n] for name, parts in tensors.items()}, cut[n]) for n in range(len(cut))]
        else:
            some = {name: values[:1] for name, values in ids.items()}
            self._batches = DataGenerator(ids, labels).generate_dataloader(
                x_val=some, y_val=labels[:1], x_test=some, y_test=labels[:1], batch_size=BATCH
            )[0]

    def train(self) -> None:
        """An epoch of what was prepared."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            self._trainer.train_one_epoch(self._batches)

    @torch.no_grad()
    def predict(self, ids: dict[str, np.ndarray]) -> np.ndarray:
        """Both tasks' predictions [rows, 2]."""
        self._model.eval()
        whole = {name: torch.from_numpy(values).to(self._device) for name, values in ids.items()}
        predicted: np.ndarray = self._model(whole).cpu().numpy()
        return predicted
