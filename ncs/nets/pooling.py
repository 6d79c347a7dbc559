"""Lists of ids as vectors: the vectors of a list's elements become one."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ncs.kinds import IdSlot, Layout

_HIDDEN = 32
"""Neurons of an attention's hidden layer; DIN has 36."""


def mean(elements: Tensor, present: Tensor) -> Tensor:
    """Elements [batch, length, width], zeros where not `present` [batch, length] -> their mean [batch, width]."""
    return elements.sum(1) / present.sum(1, keepdim=True).clamp(min=1)


def total(elements: Tensor, present: Tensor) -> Tensor:
    """Their sum; arguments as of `mean`."""
    return elements.sum(1)


def maximum(elements: Tensor, present: Tensor) -> Tensor:
    """Their maximum, in each dimension by itself; arguments as of `mean`."""
    largest = elements.masked_fill(~present.unsqueeze(2), -torch.inf).amax(1)
    return torch.where(present.any(1, keepdim=True), largest, 0.0)


POOLS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {"mean": mean, "sum": total, "max": maximum}
"""The poolings without weights; of an empty list each gives zeros."""


class Attention(nn.Module):
    """Target attention of DIN (Zhou et al., KDD 2018, "Deep Interest Network for Click-Through Rate Prediction").

    A list's elements are summed with weights: a small net of the element, the candidate, their difference and their
    product. As in section 4.3 the weights are not normalised, so that a long interest counts for more than a short one.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(4 * width, _HIDDEN)
        self.output = nn.Linear(_HIDDEN, 1)

    def forward(self, elements: Tensor, candidate: Tensor, present: Tensor) -> Tensor:
        """Elements [batch, length, width], candidate [batch, width], present [batch, length] -> [batch, width]."""
        # W [e, c, e - c, e * c] with the columns of e and of c added up: half as wide, and the candidate only once.
        own, others, difference, product = self.hidden.weight.unflatten(1, (4, -1)).unbind(1)
        pairs = torch.cat([elements, elements * candidate.unsqueeze(1)], 2)
        hidden = F.linear(pairs, torch.cat([own + difference, product], 1))
        hidden = F.relu(hidden + F.linear(candidate, others - difference, self.hidden.bias).unsqueeze(1))
        weights = self.output(hidden).squeeze(2) * present
        return torch.bmm(weights.unsqueeze(1).to(elements.dtype), elements).squeeze(1)


class Pooling(nn.Module):
    """One vector of each feature of ids, from the vectors of its columns."""

    def __init__(self, layout: Layout, width: int) -> None:
        super().__init__()
        self._slots, self._spans = layout.ids, layout.id_spans
        self.is_needed = any(slot.is_list for slot in self._slots)
        attended = [slot.name for slot in self._slots if slot.pooling == "attention"]
        self._number = {name: n for n, name in enumerate(attended)}
        self.attentions = nn.ModuleList(Attention(width) for _ in attended)

    def forward(self, embedded: Tensor, ids: Tensor) -> Tensor:
        """Vectors [batch, columns, width] of ids [batch, columns], padding below 0 -> [batch, features, width]."""
        if not self.is_needed:
            return embedded
        present = ids >= 0
        return torch.stack([self._vector(slot, embedded, present) for slot in self._slots], 1)

    def _vector(self, slot: IdSlot, embedded: Tensor, present: Tensor) -> Tensor:
        span = self._spans[slot.name]
        if slot.pooling is None:
            return embedded[:, span.start]
        if slot.pooling == "attention":
            candidate = embedded[:, self._spans[slot.table].start]
            return self.attentions[self._number[slot.name]](embedded[:, span], candidate, present[:, span])
        return POOLS[slot.pooling](embedded[:, span], present[:, span])
