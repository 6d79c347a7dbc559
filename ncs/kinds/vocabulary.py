"""Values as ids that are learnt on the training days: one id a value, by falling frequency."""

from typing import Literal

from ncs.kinds.base import Feature
from ncs.kinds.layout import IdSlot
from ncs.values import Count


class Vocabulary(Feature):
    """`encode: vocabulary`; values seen fewer than `min_count` times are unknown, id 0."""

    encode: Literal["vocabulary"] = "vocabulary"
    min_count: Count = 1
    table: str | None = None
    """The field whose ids and embeddings it shares; None: its own."""

    def slot(self, name: str) -> IdSlot:
        """One id."""
        return IdSlot(name, self.table or name)
