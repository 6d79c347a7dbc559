"""Statistics of the days before: how often impressions of this user, video, author ... were clicked and watched.

A statistic of a row is taken from the `days` days before the row's own day, so that it knows no label of that day.
"""

from typing import Annotated, Literal

from pydantic import Field

from ncs.kinds.number import Number
from ncs.values import Identifier, NonNegative, Positive, Section

Statistic = Literal["clicked", "cvr", "impressions", "watched_seconds"]


class Statistics(Section):
    """Some statistics of the rows that agree in the columns `by`; each becomes a number called as in `fields`.

    clicked: the click rate, (clicks + smoothing * p) / (impressions + smoothing), where p is the rate of all rows of
    those days; cvr: likewise the mean label of the rows that have one; impressions, watched_seconds: log(1 + sum).
    With `half_life` a day's rows count half as much as those of so many days later.
    """

    by: Annotated[list[Identifier], Field(min_length=1, max_length=4)]
    of: Annotated[list[Statistic], Field(min_length=1, default_factory=lambda: ["clicked", "cvr", "impressions"])]
    days: Annotated[int, Field(ge=1, le=366)] = 7
    smoothing: NonNegative = 5.0
    half_life: Positive | None = None

    @property
    def fields(self) -> dict[str, Number]:
        """The features, e.g. `user_id_category_clicked_7d`."""
        return {
            f"{'_'.join(self.by)}_{statistic}_{self.days}d": Number(side="context", scale="standard")
            for statistic in self.of
        }
