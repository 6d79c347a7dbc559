"""ESMM: CVR from all impressions, through pCTCVR = pCTR * pCVR (Ma et al., SIGIR 2018).

"Entire Space Multi-Task Model: An Effective Approach for Estimating Post-Click Conversion Rate": shared embedding, a
tower for CTR and one for CVR; losses are of pCTR against the click and of pCTCVR against click and conversion, over
all impressions, none of pCVR itself. Differs: the label of CVR is a share, and the loss of pCTCVR is CVR's own
(`tasks.cvr`) against the watched share of the impression, 0 where not clicked; a row that was clicked but has no
label of CVR counts for CTR alone; the inputs are this project's; further tasks have towers and samples of their own.
"""

from torch import Tensor

from ncs.models import ModelType
from ncs.nets.entire_space import EntireSpace, Outcome, probability_loss
from ncs.nets.model import NetSpec
from ncs.tasks import CVR


class ESMM(EntireSpace):
    """A tower for CTR, one for CVR."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        self.towers[CVR] = self.tower()

    def loss_after(self, click: Tensor, input: Tensor, outcome: Outcome) -> Tensor:
        """The loss of pCTCVR."""
        conversion = self.towers[CVR](input).sigmoid()
        predicted = (click * conversion)[outcome.known]
        return probability_loss(self.tasks[CVR], predicted, outcome.clicked * outcome.cvr)


MODEL = ModelType(ESMM)
