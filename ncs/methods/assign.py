"""The mask that each task is trained with: its own, or another as a control (`share.masks`)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ncs.pruning.mask import OUTPUT, Mask


def assign(masks: Mapping[str, Mask], how: str, seed: int) -> dict[str, Mask]:
    """The tasks' masks: `own`; `swapped`, the next task's; `random`, as dense in each layer; `none`; or one task's.

    `disjoint`: a connection that several tasks keep goes to one of them, at random. Random masks are drawn from `seed`,
    independently for each task.
    """
    tasks = list(masks)
    if how == "none":
        return {}
    if how == "random":
        generator = torch.Generator().manual_seed(seed)
        return {task: _shuffled(mask, generator) for task, mask in masks.items()}
    if how == "disjoint":
        return _disjoint(masks, torch.Generator().manual_seed(seed))
    if how == "swapped":
        return {task: masks[tasks[(n + 1) % len(tasks)]] for n, task in enumerate(tasks)}
    return {task: masks[task if how == "own" else how] for task in tasks}


def _disjoint(masks: Mapping[str, Mask], generator: torch.Generator) -> dict[str, Mask]:
    """No hidden connection in two masks: each goes to the task with the highest random number of those that keep it."""
    own: dict[str, dict[str, Tensor]] = {task: {} for task in masks}
    for name in next(iter(masks.values())):
        kept = torch.stack([mask[name] for mask in masks.values()])
        winner = (kept * torch.rand(kept.shape, generator=generator)).argmax(0)
        for n, (task, mask) in enumerate(masks.items()):
            own[task][name] = mask[name] if name == OUTPUT else mask[name] * (winner == n)
    return {task: Mask(layers) for task, layers in own.items()}


def _shuffled(mask: Mask, generator: torch.Generator) -> Mask:
    """The ones and zeros of each layer in random order."""
    return Mask(
        {
            name: values.flatten()[torch.randperm(values.numel(), generator=generator)].view_as(values)
            for name, values in mask.items()
        }
    )
