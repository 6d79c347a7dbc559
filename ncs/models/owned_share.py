"""OwnedShare: LayerShare in which some dimensions of every embedding learn from one task alone, and all tasks read
them.

The thought of STEM (Su et al., AAAI 2024, arXiv 2308.13537), private embeddings that other tasks read through a
stop-gradient, in a net of LayerShare's size: the embedding's width over the number of tasks and one, rounded down, is
each task's part, the rest is trained by all. Numbers, and the weights of pooling and projections, are trained by all.
LayerShare itself is the control: it differs in nothing but whom a dimension learns from.
"""

from torch import Tensor

from ncs.data_loading import Features
from ncs.models import ModelType
from ncs.models.layer_share import LayerShare
from ncs.nets.inputs import dimension_owners
from ncs.nets.model import NetSpec


class OwnedShare(LayerShare):
    """Shared inputs, whose dimensions have owners, and separate towers."""

    def __init__(self, spec: NetSpec) -> None:
        super().__init__(spec)
        self.register_buffer("owners", dimension_owners(spec.inputs.embedding, len(spec.tasks)), persistent=False)
        self.owners: Tensor
        self.number = {task: n for n, task in enumerate(spec.tasks)}

    def logits(self, features: Features, task: str) -> Tensor:
        """The task's tower on the inputs, whose other tasks' dimensions are constants."""
        trained = (self.owners < 0) | (self.owners == self.number[task])
        logits: Tensor = self.towers[task](self.inputs.lazy(features, trained))
        return logits


MODEL = ModelType(OwnedShare)
