"""This project's models on the common work: the loop, the optimiser and the loader of a run."""

import tempfile

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.work import RATES, Work
from ncs.config import Config
from ncs.data_loading import Batch, Features
from ncs.models import build
from ncs.models.mmoe import MMoE
from ncs.nets.experts import shared_and_tower
from ncs.nets.inputs import Inputs
from ncs.nets.layers import Activation, Tower, hidden_layers, mlp_forward
from ncs.nets.model import Group, Model, NetSpec, logit_loss
from ncs.pruning.mask import Mask
from ncs.tasks import CTR, CVR
from ncs.training.cluster import Cluster
from ncs.training.hardware import keep_freed_memory
from ncs.training.loop import Trainer
from ncs.training.optim import MaskedAdam
from ncs.training.phase import Phase
from ncs.training.store import Store

KEPT = 0.4
"""Share of the connections that a task's mask keeps, drawn at random: what a step costs does not depend on which."""


class _BothLosses(Model):
    """A net that learns both tasks from every batch, as the peers' do: the same rows, the same work."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        self.groups = (Group((CTR, CVR), (CTR,)),)

    def all_logits(self, features: Features) -> dict[str, torch.Tensor]:
        """Of every task [rows], what tasks share computed once."""
        raise NotImplementedError

    def logits(self, features: Features, task: str) -> torch.Tensor:
        """See Model."""
        return self.all_logits(features)[task]

    def loss(self, batch: Batch, task: str) -> torch.Tensor:
        """The sum of the tasks' losses on the same rows."""
        logits = self.all_logits(batch.features)
        return torch.stack([logit_loss(self.tasks[name], logits[name], batch.labels[name]) for name in logits]).sum()


class _MMoE(MMoE, _BothLosses):
    logits = _BothLosses.logits

    def all_logits(self, features: Features) -> dict[str, torch.Tensor]:
        input = self.inputs(features)
        experts = self.experts(input)
        return {name: self.towers[name](self.gates[name](input, experts)) for name in self.tasks}


class _SharedBottom(_BothLosses):
    """FC layers that both tasks share, and a tower each: the peers' plainest architecture."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        shared, tower = shared_and_tower(spec.net.hidden)
        self.inputs = Inputs(spec.inputs)
        self.bottom, self.activation = hidden_layers(spec.inputs.width, shared), Activation(spec.net)
        self.towers = nn.ModuleDict({task: Tower(shared[-1], tower, spec.net) for task in spec.tasks})

    def all_logits(self, features: Features) -> dict[str, torch.Tensor]:
        shared = mlp_forward(self.bottom, self.activation, self.inputs(features))
        return {name: self.towers[name](shared) for name in self.tasks}


_ARCHITECTURES: dict[str, type[Model]] = {"mmoe": _MMoE, "shared_bottom": _SharedBottom}


class Ours:
    """A model that is trained on `work`."""

    def __init__(self, name: str, work: Work, conf: Config, net: Model) -> None:
        keep_freed_memory()  # of this process: the peers' trainings have it too
        self.name, self.net = name, net.to(work.device)
        loader = work.loader(conf)
        samples = net.groups[0].samples
        self._trainer = Trainer(
            conf.train, dict.fromkeys(samples, loader), {}, Cluster(), Store(tempfile.gettempdir(), Cluster()), {}
        )
        self._optimizer = MaskedAdam(net, Cluster(), *RATES)
        self._samples, self._rows, self._epoch, self._share = samples, loader.rows, 0, 1.0
        self.waited = 0.0

    def prepare(self, rows: int) -> None:
        """Train on a part of an epoch; the rows themselves stay decoded in memory, as in a run."""
        self._share = rows / self._rows / len(self._samples)

    def train(self) -> None:
        """A part of an epoch."""
        phase = Phase("bench", tuple(self.net.tasks), self._samples, self._epoch + self._share)
        self.waited = self._trainer.train_epoch(self.net, self._optimizer, phase, self._epoch).wait_share
        self._epoch += 1

    def predict(self, ids: dict[str, np.ndarray]) -> np.ndarray:
        """Both tasks' predictions [rows, 2]."""
        rows = Features.of_ids(torch.from_numpy(np.stack(list(ids.values()), 1)))
        self.net.eval()
        parts = [self.net.predict(part.to(self.net.device)) for part in rows.split(8192)]
        return np.stack([torch.cat([part[task] for part in parts]).cpu().numpy() for task in (CTR, CVR)], 1)

    def operations(self, rows: int = 2048) -> float:
        """Floating-point operations of the matrix products of one row's forward and backward pass."""
        on = self.net.device
        ids = torch.zeros(rows, self.net.spec.inputs.layout.id_width, dtype=torch.long, device=on)
        batch = Batch(Features.of_ids(ids), dict.fromkeys(self.net.tasks, torch.zeros(rows, device=on)), rows)
        with FlopCounterMode(display=False) as counter:
            self.net.loss(batch, CTR).backward()
        self.net.zero_grad()
        return counter.get_total_flops() / rows


def both_losses(architecture: str, work: Work) -> Ours:
    """An architecture, `mmoe` or `shared_bottom`, as the peers train it."""
    conf = work.conf("mmoe", "net.crosses=[]")
    torch.manual_seed(0)
    net = _ARCHITECTURES[architecture](NetSpec.of(conf, work.sizes))
    return Ours(f"ncs {architecture}, both losses", work, conf, net)


def ours(model: str, work: Work, *overrides: str, masked: bool = False) -> Ours:
    """A model of the catalogue; with random masks, where `masked`."""
    conf = work.conf(model, *overrides)
    net = build(conf, work.sizes, seed=0)
    if masked:
        net.task_masks = {task: _random(net, task) for task in net.tasks}
    return Ours(f"ncs {model}{', masked' if masked else ''}", work, conf, net)


def _random(net: Model, task: str) -> Mask:
    weights = net.maskable(task)  # type: ignore[operator]
    return Mask({name: (torch.rand_like(weight) < KEPT).float() for name, weight in weights.items()})
