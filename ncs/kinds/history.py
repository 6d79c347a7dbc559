"""A user's latest videos before an impression: lists of ids that share the tables of the fields they are of."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ncs.kinds.base import Feature
from ncs.kinds.layout import IdSlot
from ncs.values import Identifier, NonNegative, Section


class Past(Feature):
    """The column of one field of a history."""

    of: str
    last: int
    pooling: Literal["mean", "attention"]

    def slot(self, name: str) -> IdSlot:
        """The ids of the latest rows, the newest first."""
        return IdSlot(name, self.of, self.last, self.pooling)


class History(Section):
    """The user's latest impressions before the row's own, of those that `where` names, and the fields that are kept.

    None of the row's own time or later: `until` says how much must lie between, since logs arrive late.
    """

    of: Annotated[list[Identifier], Field(min_length=1)]
    where: Literal["clicked", "watched", "shown"] = "clicked"
    last: Annotated[int, Field(ge=1, le=1000)] = 50
    days: Annotated[int, Field(ge=1, le=366)] = 7
    until: Literal["previous day"] | None = None
    lag_hours: NonNegative | None = None
    pooling: Literal["mean", "attention"] = "mean"

    @model_validator(mode="after")
    def _one_end(self) -> "History":
        if self.until is not None and self.lag_hours is not None:
            raise ValueError("until and lag_hours both say where it ends; name one")
        return self

    def fields(self, name: str) -> dict[str, Past]:
        """The features, e.g. `clicked_video_id`."""
        return {
            f"{name}_{field}": Past(side="user", of=field, last=self.last, pooling=self.pooling) for field in self.of
        }
