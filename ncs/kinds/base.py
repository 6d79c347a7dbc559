"""What all kinds of features have in common."""

from typing import Literal

from ncs.kinds.layout import Slot
from ncs.values import Section

Side = Literal["user", "video", "context"]


class Feature(Section):
    """A feature, by the name that its column in the sample tables has."""

    side: Side

    def slot(self, name: str) -> Slot:
        """Where it stands in a batch."""
        raise NotImplementedError
