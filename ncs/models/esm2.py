"""ESM²: CVR from all impressions, by way of what is done after the click (Wen et al., SIGIR 2020).

"Entire Space Multi-Task Modeling via Post-Click Behavior Decomposition for Conversion Rate Prediction": a click leads
to a deterministic action (DAction) or to others (OAction), both to a conversion or not; pCVR = y2 y3 + (1 - y2) y4.
Losses over all impressions: of y1 (CTR), of y1 y2 (CTAVR) and of y1 pCVR (CTCVR). Differs: the source's DAction is
a cart or wish list, here it is to play past `net.esm2.played` of the video, so a conversion, the watched share,
follows DAction above it and OAction below; labels and inputs as in `esmm`; CTAVR, of 0 and 1 as CTR is, has CTR's
loss and weight (`tasks.ctr`); further tasks have towers and samples of their own.
"""

import torch
from torch import Tensor, nn

from ncs.data_loading import Features
from ncs.models import ModelType
from ncs.nets.entire_space import EntireSpace, Outcome, probability_loss
from ncs.nets.model import NetSpec
from ncs.tasks import CTR, CVR

AFTER_CLICK = ("action", "conversion_of_action", "conversion_of_other")
"""y2, y3 and y4: DAction after a click, conversion after DAction, conversion after OAction."""


class ESM2(EntireSpace):
    """A tower for CTR, three for what follows a click."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        self.after_click = nn.ModuleDict({name: self.tower() for name in AFTER_CLICK})

    def member_probabilities(self, features: Features, task: str) -> Tensor:
        """A sigmoid; of CVR, the two ways to a conversion after a click."""
        if task != CVR:
            return super().member_probabilities(features, task)
        return self._action_and_conversion(self.inputs(features))[1]

    def logits(self, features: Features, task: str) -> Tensor:
        """The task's tower on the shared inputs; CVR, which has none, by its probability."""
        if task != CVR:
            return super().logits(features, task)
        return torch.logit(self.member_probabilities(features, task), eps=1e-6)

    def loss_after(self, click: Tensor, input: Tensor, outcome: Outcome) -> Tensor:
        """The losses of CTAVR and CTCVR."""
        action, conversion = self._action_and_conversion(input)
        ctavr, ctcvr = (click * action)[outcome.known], (click * conversion)[outcome.known]
        acted = outcome.clicked * (outcome.cvr >= self.spec.net.esm2.played)
        return probability_loss(self.tasks[CTR], ctavr, acted) + probability_loss(
            self.tasks[CVR], ctcvr, outcome.clicked * outcome.cvr
        )

    def _action_and_conversion(self, input: Tensor) -> tuple[Tensor, Tensor]:
        """Input [batch, width] -> y2 and pCVR, [batch] each."""
        action, of_action, of_other = (self.after_click[name](input).sigmoid() for name in AFTER_CLICK)
        return action, action * of_action + (1 - action) * of_other


MODEL = ModelType(ESM2)
