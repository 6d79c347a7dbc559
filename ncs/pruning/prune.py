"""A pruning round: scores of connections, and masks without the lowest-scored connections or neurons."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from ncs.pruning.mask import OUTPUT, Mask

Scope = Literal["global", "layer"]
Score = Callable[[Tensor, Tensor], Tensor]
"""Trained weight, the same weight in theta -> scores, all of the same shape; low ones are pruned."""


def magnitude(weight: Tensor, theta: Tensor) -> Tensor:
    """|w|: iterative magnitude pruning, as in the paper (Algorithm 1, line 7)."""
    return weight.abs()


def movement(weight: Tensor, theta: Tensor) -> Tensor:
    """w * (w - theta): high where training has moved the weight away from zero."""
    return weight * (weight - theta)


def distance(weight: Tensor, theta: Tensor) -> Tensor:
    """|w - theta|: how far the task itself has moved the weight, in either direction."""
    return (weight - theta).abs()


def at_random(weight: Tensor, theta: Tensor) -> Tensor:
    """Random numbers, from torch's generator: the control of all other scores."""
    return torch.rand_like(weight)


SCORES: Mapping[str, Score] = {
    "magnitude": magnitude,
    "movement": movement,
    "distance": distance,
    "random": at_random,
}
"""Scores of weights alone; `fisher` takes gradients (`ncs.methods.fisher`)."""


def prune(mask: Mask, scores: Mapping[str, Tensor], rate: float, scope: Scope) -> Mask:
    """Set to 0 the `rate` share of the alive weights with the lowest scores (Algorithm 1, line 7).

    The quantile is over the weights that the mask keeps: with pruned ones included, a fixed rate would stop pruning
    after the first round. There is one threshold for all layers, or one for each. Scores equal to the threshold all
    stay, so that the result does not depend on their order.

    No layer is emptied: if all its scores are below the threshold, the highest stays. Behind an empty layer every
    prediction would be the same.
    """
    if scope == "layer":
        return Mask(
            {name: _keep(mask[name], scores[name], _threshold([(mask[name], scores[name])], rate)) for name in mask}
        )
    threshold = _threshold([(mask[name], scores[name]) for name in mask], rate)
    return Mask({name: _keep(mask[name], scores[name], threshold) for name in mask})


def prune_neurons(mask: Mask, scores: Mapping[str, Tensor], rate: float, scope: Scope) -> Mask:
    """Set to 0 all connections, in and out, of the `rate` share of the alive neurons with the lowest scores.

    A neuron's score is the root mean square of its incoming connections' scores, which is comparable over layers of
    different widths. The output neuron is never removed.
    """
    hidden = [name for name in mask if name != OUTPUT]
    alive = Mask({name: mask[name].amax(1) for name in hidden})
    kept = prune(alive, {name: (mask[name] * scores[name]).square().mean(1).sqrt() for name in hidden}, rate, scope)
    layers = {name: mask[name] * kept[name].unsqueeze(1) for name in hidden}
    after = [*hidden[1:], *([OUTPUT] if OUTPUT in mask else [])]
    for before, name in zip(hidden, after, strict=False):
        layers[name] = layers.get(name, mask[name]) * kept[before]
    return Mask(layers)


def prune_inputs(mask: Mask, scores: Mapping[str, Tensor], rate: float, units: Tensor) -> Mask:
    """Set to 0 all connections that read the `rate` share of the alive input units with the lowest scores.

    `units` int [columns, 2]: the units that each column of the first layer's input is computed from, twice the same for
    a column of one unit, -1 for one that is not pruned. A unit's score is the root mean square of the scores of the
    connections that read it.
    """
    first = "hidden.0"
    score, kept = scores[first].square().mean(0), mask[first].amax(0)
    known = (units >= 0).all(1)
    at, count = units[known], int(units.max()) + 1

    def by_unit(columns: Tensor) -> Tensor:
        """The sum of [columns] over those that each unit is read by; a column of one unit counts twice for it."""
        both = columns[known].repeat_interleave(2)
        return both.new_zeros(count).index_add_(0, at.flatten(), both)

    alive = Mask({first: (by_unit(kept) > 0).float()})
    means = (by_unit(score * kept) / by_unit(kept).clamp(min=1)).sqrt()
    left = prune(alive, {first: means}, rate, "global")[first]
    reads = left[at].amin(1)  # a product of two units needs both
    columns = kept.clone()
    columns[known] *= reads
    return Mask({**mask, first: mask[first] * columns})


def tied_by_input(mask: Mask, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every connection has the mean score of the alive ones that read the same input: they stay or fall together.

    Inputs that nothing reads are not computed where a subnetwork is served (`ncs.serving.compact`).
    """
    alive = {name: mask[name].sum(0, keepdim=True).clamp(min=1) for name in mask}
    means = {name: (mask[name] * scores[name]).sum(0, keepdim=True) / alive[name] for name in mask}
    return {name: mean.expand_as(mask[name]) for name, mean in means.items()}


def with_price(scores: Mapping[str, Tensor], taken: Sequence[Mask], price: float) -> dict[str, Tensor]:
    """Scores of hidden layers, lower by the share `price` where one of the other tasks' masks keeps the connection."""
    priced = dict(scores)
    for name in scores if price and taken else ():
        if name != OUTPUT:  # which is each task's own
            kept = torch.stack([mask[name] for mask in taken]).amax(0)
            priced[name] = scores[name] * (1 - price * kept)
    return priced


def _threshold(layers: list[tuple[Tensor, Tensor]], rate: float) -> Tensor | None:
    alive = torch.cat([scores[mask > 0] for mask, scores in layers])
    pruned = int(rate * alive.numel())
    # kthvalue counts from 1: the lowest score that stays.
    return alive.kthvalue(pruned + 1).values if pruned else None


def _keep(mask: Tensor, scores: Tensor, threshold: Tensor | None) -> Tensor:
    if threshold is None:
        return mask
    kept = mask * (scores >= threshold)
    if mask.any() and not kept.any():
        return mask * (scores >= scores[mask > 0].max())
    return kept
