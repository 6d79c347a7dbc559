"""Which mask each task is given: its own, or, to see what masks are worth, another (`share.masks`)."""

from collections.abc import Mapping

import torch

from ncs.pruning.mask import Mask


def assign(masks: Mapping[str, Mask], how: str, seed: int) -> dict[str, Mask]:
    """The tasks' masks: `own`; `swapped`: the next task's; `random`: as dense in each layer; `none`; a task: its own.

    Random masks are drawn from `seed`, each task's by itself.
    """
    tasks = list(masks)
    if how == "none":
        return {}
    if how == "random":
        generator = torch.Generator().manual_seed(seed)
        return {task: _shuffled(mask, generator) for task, mask in masks.items()}
    if how == "swapped":
        return {task: masks[tasks[(n + 1) % len(tasks)]] for n, task in enumerate(tasks)}
    return {task: masks[task if how == "own" else how] for task in tasks}


def _shuffled(mask: Mask, generator: torch.Generator) -> Mask:
    """Ones and zeros of each layer in an order of chance."""
    return Mask(
        {
            name: values.flatten()[torch.randperm(values.numel(), generator=generator)].view_as(values)
            for name, values in mask.items()
        }
    )
