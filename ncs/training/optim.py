"""Adam that updates only weights that a task's mask keeps, and embedding rows that a batch looks up.

A zero gradient does not leave a weight unchanged: momentum and weight decay still move it. Here also the state of a
weight is updated only where the task's mask is 1, and that of an embedding row only when a batch has it. So a step on
the embeddings costs what the batch's rows cost, whatever the size of the table.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import vector_to_parameters

from ncs.nets.embedding import SHARD, FieldEmbedding, ShardedEmbedding, named_embeddings, unique_rows
from ncs.training.average import WeightAverage
from ncs.training.cluster import Cluster
from ncs.training.row_optim import BETA1, BETA2, EPSILON, ROW_OPTIMIZERS, RowOptimizer, RowPenalty

_TINY = 1e-12
"""The minimum of a divisor: it is 0 for a weight that no step has updated yet."""


def coalesce(rows: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
    """Unique rows, and the sum of each one's gradients: [n], [n, width] -> [m], [m, width], m <= n."""
    unique, positions = unique_rows(rows)
    summed = gradients.new_zeros(len(unique), gradients.shape[1])
    if rows.is_cuda:
        # A sum in sorted order; index_add_ would add in random order there.
        return unique, summed.index_put_((positions,), gradients, accumulate=True)
    return unique, summed.index_add_(0, positions, gradients)


class _Dense(NamedTuple):
    """All dense weights of a net as one vector, and Adam's state of each of them.

    Moments of the gradient, and the sums of the weights of these means. Dividing by these sums is Adam's bias
    correction, for each weight by the steps that it has had.
    """

    weight: Tensor
    first: Tensor
    second: Tensor
    first_sum: Tensor
    second_sum: Tensor

    def view(self, span: slice) -> "_Dense":
        """A view of a slice of the vectors."""
        return _Dense(*(vector[span] for vector in self))


class _Plan(NamedTuple):
    """The values that steps with the same gradients and masks share, as vectors over the slice that they update.

    `mask` is 1 where a weight is updated, else 0; `first` and `second` are the rates of its moments, `decay` the factor
    of weight decay.
    """

    span: slice
    mask: Tensor
    first: Tensor
    second: Tensor
    decay: Tensor | None
    masks: tuple[Tensor, ...]
    """Referenced, so that no other tensor can get the id of one of them."""


class MaskedAdam:
    """Adam with decoupled weight decay for FC layers under masks, one of `ROW_OPTIMIZERS` for embeddings.

    The dense weights of `net` become views of one vector, so that a step is a few operations on long vectors. Gradients
    are summed over the workers before they are used: the dense ones as one vector, the embeddings' as rows.
    """

    def __init__(
        self,
        net: nn.Module,
        cluster: Cluster,
        learning_rate: float,
        embedding_learning_rate: float,
        weight_decay: float = 0.0,
        embedding_optimizer: str = "adam",
        embedding_weight_decay: float = 0.0,
        embedding_l2: float = 0.0,
        average: float = 0.0,
    ) -> None:
        """`average`: of the weights' moving average what a step keeps; 0: none is taken."""
        self._cluster = cluster
        self._rate, self._decay = learning_rate, weight_decay
        self._weights = [weight for weight in net.parameters() if weight.requires_grad]
        vector = torch.cat([weight.detach().flatten() for weight in self._weights] or [torch.empty(0)])
        vector_to_parameters(vector, self._weights)
        self._dense = _Dense(vector, *(torch.zeros_like(vector) for _ in range(4)))
        self._plans: dict[Any, _Plan] = {}
        self._embeddings = {_key(name, embedding): embedding for name, embedding in named_embeddings(net)}
        optimizer = ROW_OPTIMIZERS[embedding_optimizer]
        self._rows: dict[str, RowOptimizer] = {
            name: optimizer(embedding.local_rows, embedding_learning_rate, embedding_weight_decay)
            for name, embedding in self._embeddings.items()
        }
        tables = {name: embedding.local_rows for name, embedding in self._embeddings.items()}
        self._penalties = {name: RowPenalty(table, embedding_l2) for name, table in tables.items() if embedding_l2}
        self._steps = 0
        self.average = WeightAverage(average, vector, tables) if average else None

    @torch.no_grad()
    def step(self, masks: Mapping[nn.Parameter, Tensor]) -> None:
        """Apply and clear the gradients of the last backward pass; `masks` as from `Model.masks`."""
        used = tuple(n for n, weight in enumerate(self._weights) if weight.grad is not None)
        # The dense gradients are reduced while those of rows are gathered and applied.
        summed = self._all_reduce_async(self._weights[used[0] : used[-1] + 1]) if used else None
        for weight in self._weights:
            weight.grad = None
        self._steps += 1
        if self.average:
            self.average.begin_step()
        for name, embedding in self._embeddings.items():
            if embedding.last_lookup is not None:
                self._step_rows(name, *self._row_gradients(embedding))
                embedding.last_lookup = None
        if summed is not None:
            plan = self._plan(used, masks)
            _adam(self._dense.view(plan.span), summed(), plan, self._rate)
        if self.average:
            self.average.end_step()

    def _step_rows(self, name: str, rows: Tensor, gradient: Tensor) -> None:
        """Update unique rows of a table, and their average."""
        if name in self._penalties:
            gradient = gradient + self._penalties[name].gradient(rows, self._steps)
        if self.average:
            self.average.before(name, rows)
        self._rows[name].step(rows, gradient)
        if self.average:
            self.average.after(name, rows)

    def _plan(self, used: tuple[int, ...], masks: Mapping[nn.Parameter, Tensor]) -> _Plan:
        key = used, tuple(map(id, masks.values()))
        if key not in self._plans:
            moved, decayed = [], []
            for n, weight in enumerate(self._weights[used[0] : used[-1] + 1], start=used[0]):
                mask = masks.get(weight, torch.ones_like(weight)) if n in used else torch.zeros_like(weight)
                moved.append(mask.flatten())
                decayed.append(moved[-1] * (weight.ndim > 1))
            whole = torch.cat(moved)
            before = sum(weight.numel() for weight in self._weights[: used[0]])
            self._plans[key] = _Plan(
                slice(before, before + len(whole)),
                whole,
                (1 - BETA1) * whole,
                (1 - BETA2) * whole,
                1 - self._rate * self._decay * torch.cat(decayed) if self._decay else None,
                tuple(masks.values()),
            )
        return self._plans[key]

    def _all_reduce_async(self, weights: Sequence[nn.Parameter]) -> Callable[[], Tensor]:
        """The gradients of neighbouring weights as one vector, 0 where there is none, summed over the workers."""
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        return self._cluster.all_reduce_async(torch.cat([gradient.flatten() for gradient in gradients]))

    def _row_gradients(self, embedding: FieldEmbedding) -> tuple[Tensor, Tensor]:
        """Unique rows in any worker's batch, and their summed gradients; of a sharded table this worker's rows."""
        assert embedding.last_lookup is not None
        rows, values = embedding.last_lookup
        rows, gradient = coalesce(rows, torch.zeros_like(values) if values.grad is None else values.grad)
        if isinstance(embedding, ShardedEmbedding):
            return coalesce(*embedding.route_gradients(rows, gradient))
        if self._cluster.size == 1:
            return rows, gradient
        # One message instead of two: a row's number is sent as two floats of the same bits, which are never summed.
        message = torch.cat([rows.unsqueeze(1).view(torch.float32), gradient], 1)
        rows, gradient = self._cluster.all_gather(message).split([2, gradient.shape[1]], 1)
        return coalesce(rows.contiguous().view(torch.int64).squeeze(1), gradient)

    def moments(self) -> dict[str, Any]:
        """The state of each weight and row: what a training on later rows goes on from."""
        return {"dense": self._dense[1:], "rows": {name: rows.state for name, rows in self._rows.items()}}

    def state_dict(self) -> dict[str, Any]:
        """The state that a resumed training needs."""
        penalty = {"steps": self._steps, "rows": {name: rows.last for name, rows in self._penalties.items()}}
        return (
            self.moments()
            | ({"average": self.average.state_dict()} if self.average else {})
            | ({"penalty": penalty} if self._penalties else {})
        )

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load a `state_dict`, or `moments` alone: averages and penalties then begin here."""
        weight = self._dense.weight
        self._dense = _Dense(weight, *(vector.to(weight.device) for vector in saved["dense"]))
        for name, state in saved["rows"].items():
            self._rows[name].state = state.to(self._embeddings[name].local_rows.device)
        if self.average and "average" in saved:
            self.average.load_state_dict(saved["average"])
        if self._penalties and "penalty" in saved:
            self._steps = saved["penalty"]["steps"]
            for name, last in saved["penalty"]["rows"].items():
                self._penalties[name].last = last.to(self._embeddings[name].local_rows.device)


def _key(name: str, embedding: FieldEmbedding) -> str:
    """The key of the state of an embedding's rows."""
    return f"{name}.{SHARD}" if isinstance(embedding, ShardedEmbedding) else name


def _adam(dense: _Dense, gradient: Tensor, plan: _Plan, rate: float) -> None:
    """One step of Adam where `plan.mask` is 1; elsewhere weight and state keep every bit."""
    # A lerp by 0 adds 0, a quotient times 0 is 0: multiplying is cheaper than indexing, and as exact.
    unit = gradient.new_ones(())
    dense.first.lerp_(gradient, plan.first)
    dense.first_sum.lerp_(unit, plan.first)
    dense.second.lerp_(gradient.square_(), plan.second)
    dense.second_sum.lerp_(unit, plan.second)
    if plan.decay is not None:
        dense.weight.mul_(plan.decay)
    step = (dense.first / dense.first_sum.clamp(min=_TINY)).mul_(plan.mask)
    size = (dense.second / dense.second_sum.clamp(min=_TINY)).sqrt_().add_(EPSILON)
    dense.weight.addcdiv_(step, size, value=-rate)
