"""A pruning round: scores of connections, and masks without the lowest-scored connections or neurons."""

from collections.abc import Callable, Mapping
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


SCORES: Mapping[str, Score] = {"magnitude": magnitude, "movement": movement}


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
