"""Adam that moves nothing but what a batch and a task have to do with.

Zero gradients do not leave a weight alone: momentum and weight decay go on moving it. Here the state of a weight,
too, advances only where the task's mask is 1, and an embedding row's only when a batch holds it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ncs.nets.inputs import FieldEmbedding
from ncs.training.cluster import Cluster

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
_TINY = 1e-12
"""What a sum of weights is at the least: a weight that no step has moved yet has none."""


@dataclass
class _State:
    """Moments of the gradient, and the sums of the weights that these means were taken with.

    Dividing by these sums is Adam's bias correction, for each weight (or embedding row) by the steps it has seen.
    """

    first: Tensor
    second: Tensor
    first_sum: Tensor
    second_sum: Tensor

    @classmethod
    def zeros(cls, weight: Tensor, sums: tuple[int, ...]) -> "_State":
        return cls(torch.zeros_like(weight), torch.zeros_like(weight), weight.new_zeros(sums), weight.new_zeros(sums))


class MaskedAdam:
    """Adam with decoupled weight decay for FC layers under masks, lazy Adam for embeddings.

    Gradients are summed over the workers before they are used: the dense ones in one buffer, the embeddings' as
    rows of the batches.
    """

    def __init__(
        self,
        net: nn.Module,
        cluster: Cluster,
        learning_rate: float,
        embedding_learning_rate: float,
        weight_decay: float = 0.0,
    ) -> None:
        self._cluster = cluster
        self._rates = learning_rate, embedding_learning_rate
        self._decay = weight_decay
        self._dense = {name: weight for name, weight in net.named_parameters() if weight.requires_grad}
        self._embeddings = {name: part for name, part in net.named_modules() if isinstance(part, FieldEmbedding)}
        self._states = {name: _State.zeros(weight, weight.shape) for name, weight in self._dense.items()}
        for name, embedding in self._embeddings.items():
            self._states[name] = _State.zeros(embedding.table, (len(embedding.table), 1))

    @torch.no_grad()
    def step(self, masks: Mapping[nn.Parameter, Tensor]) -> None:
        """Use and clear the gradients of the last backward pass; masks as `System.masks` gives them."""
        used = {name: weight for name, weight in self._dense.items() if weight.grad is not None}
        for name, gradient in zip(used, self._summed(used.values()), strict=True):
            weight = used[name]
            _adam(
                weight,
                gradient,
                self._states[name],
                masks.get(weight),
                self._rates[0],
                self._decay if weight.ndim > 1 else 0.0,
            )
            weight.grad = None
        for name, embedding in self._embeddings.items():
            if embedding.touched is not None:
                rows, gradient = self._gathered(embedding)
                _lazy_adam(embedding.table, rows, gradient, self._states[name], self._rates[1])
                embedding.touched = None

    def _summed(self, weights: Iterable[nn.Parameter]) -> list[Tensor]:
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        if self._cluster.size == 1:
            return gradients
        whole = self._cluster.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = whole.split([gradient.numel() for gradient in gradients])
        return [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)]

    def _gathered(self, embedding: FieldEmbedding) -> tuple[Tensor, Tensor]:
        """Rows that any worker's batch holds, each once, and their summed gradients."""
        assert embedding.touched is not None
        rows, values = embedding.touched
        gradient = values.grad if values.grad is not None else torch.zeros_like(values)
        if self._cluster.size == 1:
            return rows, gradient
        unique, inverse = self._cluster.concatenate(rows).unique(return_inverse=True)
        gathered = self._cluster.concatenate(gradient)
        return unique, gathered.new_zeros(len(unique), gathered.shape[1]).index_add_(0, inverse, gathered)

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed training needs."""
        return {name: vars(state) for name, state in self._states.items()}

    def load_state_dict(self, states: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take over what `state_dict` gave."""
        self._states = {name: _State(**tensors) for name, tensors in states.items()}


def _adam(weight: Tensor, gradient: Tensor, state: _State, mask: Tensor | None, rate: float, decay: float) -> None:
    """One step of Adam where the mask is 1; elsewhere weight and state keep every bit."""
    # A lerp by 0 adds 0, a quotient times 0 is 0: multiplying is cheaper than picking, and as exact.
    part = torch.ones(()) if mask is None else mask
    one = torch.ones(())
    for moment, total, value, beta in (
        (state.first, state.first_sum, gradient, BETA1),
        (state.second, state.second_sum, gradient * gradient, BETA2),
    ):
        moment.lerp_(value, (1 - beta) * part)
        total.lerp_(one, (1 - beta) * part)
    if decay:
        weight.mul_(1 - rate * decay * part)
    step = state.first / state.first_sum.clamp(min=_TINY)
    size = (state.second / state.second_sum.clamp(min=_TINY)).sqrt_().add_(EPSILON)
    weight.addcdiv_(step if mask is None else step.mul_(mask), size, value=-rate)


def _lazy_adam(table: Tensor, rows: Tensor, gradient: Tensor, state: _State, rate: float) -> None:
    """One step of Adam for some rows; a row's moments neither decay nor count while no batch holds it."""
    moments = []
    for moment, total, value, beta in (
        (state.first, state.first_sum, gradient, BETA1),
        (state.second, state.second_sum, gradient * gradient, BETA2),
    ):
        moment[rows] = now = moment[rows].lerp_(value, 1 - beta)
        total[rows] = weight = total[rows].mul_(beta).add_(1 - beta)
        moments.append(now / weight)
    first, second = moments
    table[rows] = table[rows].addcdiv_(first, second.sqrt_().add_(EPSILON), value=-rate)
