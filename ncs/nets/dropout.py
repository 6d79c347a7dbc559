"""Dropout whose random draws are as many on every worker, whatever rows it has."""

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """In training zeros for a share of the values, the others enlarged so that means stay; otherwise the input itself.

    Each call takes one number from the global generator, which seeds its own: what is drawn later from the global one,
    as the gates of SNR, stays equal on all workers. With several of them other values are dropped than with one.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, input: Tensor) -> Tensor:
        """Input of any shape -> the same shape."""
        if not self.training or not self.share:
            return input
        seed = int(torch.randint(2**62, ()))
        kept = torch.empty_like(input).bernoulli_(
            1 - self.share, generator=torch.Generator(input.device).manual_seed(seed)
        )
        return input * kept / (1 - self.share)
