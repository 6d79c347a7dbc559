"""The mask that each task is trained with: its own, or another as a control (`share.masks`)."""

from collections.abc import Mapping

import torch

from ncs.pruning.mask import Mask


def assign(masks: Mapping[str, Mask], how: str, seed: int) -> dict[str, Mask]:
    """The tasks' masks: `own`; `swapped`, the next task's; `random`, as dense in each layer; `none`; or one task's.

    Random masks are drawn from `seed`, independently for each task.
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
    """The ones and zeros of each layer in random order."""
    return Mask(
        {
            name: values.flatten()[torch.randperm(values.numel(), generator=generator)].view_as(values)
            for name, values in mask.items()
        }
    )
