"""Numbers as inputs: as they are, beside flags of those that are missing, or projected to the embedding's width."""

import torch
from torch import Tensor, nn

from ncs.kinds import Layout


class Numbers(nn.Module):
    """The numbers of a batch, split into those that FC layers read as they are and those that become vectors."""

    def __init__(self, layout: Layout, width: int) -> None:
        super().__init__()
        by_name = layout.number_spans
        spans = {slot: by_name[slot.name] for slot in layout.numbers}
        every = torch.arange(layout.number_width)
        plain = [slot for slot in spans if not slot.projected]
        none = every[:0]
        self.register_buffer("columns", torch.cat([none, *(every[spans[slot]] for slot in plain)]), persistent=False)
        flagged = [every[spans[slot]] for slot in plain if slot.nullable]
        self.register_buffer("flagged", torch.cat([none, *flagged]), persistent=False)
        self.columns: Tensor
        self.flagged: Tensor
        self._spans = [span for slot, span in spans.items() if slot.projected]
        # Without biases: a missing vector, all zeros, stays one.
        self.projections = nn.ModuleList(nn.Linear(slot.length, width, bias=False) for slot in spans if slot.projected)

    def forward(self, numbers: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Numbers [batch, columns] -> values and flags [batch, values + flags], and a vector [batch, width] a slot.

        A missing value is 0, and its flag 1.
        """
        if not numbers.shape[1]:
            return numbers, []
        missing = numbers.isnan()
        known = torch.where(missing, 0.0, numbers)
        flags = missing.index_select(1, self.flagged).to(numbers.dtype)
        plain = torch.cat([known.index_select(1, self.columns), flags], 1)
        return plain, [layer(known[:, span]) for layer, span in zip(self.projections, self._spans, strict=True)]
