"""A user's latest videos before an impression: lists of ids that share the tables of the fields they are of."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from ncs.kinds.base import HOUR, Encoder, Feature
from ncs.kinds.layout import NO_ID, IdSlot
from ncs.kinds.lists import as_lists, encode_lists
from ncs.values import Identifier, NonNegative, Section

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_WHERE = {"clicked": "clicked = 1", "watched": "watched_seconds > 0", "shown": "true"}


class Past(Feature):
    """The ids of one field in a history."""

    field: str
    of: Feature
    last: int
    pooling: Literal["mean", "attention"]

    def slot(self, name: str) -> IdSlot:
        """The ids of the latest rows, the newest first."""
        table = self.of.slot(self.field)
        assert isinstance(table, IdSlot)
        return IdSlot(name, table.table, self.last, self.pooling)

    def largest_id(self, known: int) -> int:
        """See Feature."""
        return self.of.largest_id(known)

    def encoder(self, name: str, known: Sequence[str]) -> Encoder:
        """Lists of raw values, the newest first -> ids int64 [rows, last], -1 behind the last; a missing one is 0."""
        encode = self.of.encoder(self.field, known)
        return lambda values: encode_lists(as_lists(values), self.last, encode)


class History(Section):
    """The user's latest impressions before the row's own, of those that `where` names, and the fields that are kept.

    None of the row's own time or later. Logs arrive late, so the history ends with the previous day, or with
    `lag_hours` so many hours before the row's time; it begins at the first moment of the day that is `days` before
    the row's.
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

    def fields(self, name: str, fields: Mapping[str, Feature]) -> dict[str, Past]:
        """The features, e.g. `clicked_video_id`, of the configuration's fields."""
        return {
            f"{name}_{field}": Past(side="user", field=field, of=fields[field], last=self.last, pooling=self.pooling)
            for field in self.of
        }

    def join(self, rows: "DataFrame", shown: "DataFrame", name: str) -> "DataFrame":
        """Add `<name>_<field>#`, array<int>, for each field to rows of silver/samples.

        Args:
            rows: the rows to look back from.
            shown: these rows and those of the days before them, each with `<field>#`, its encoded id.
            name: what the history is called.
        """
        from pyspark.sql import Window
        from pyspark.sql import functions as F

        from ncs.kinds.spark import padded

        known = self._latest(shown).unionByName(
            rows.select("user_id", self._clock().alias("#clock"), F.struct("*").alias("#row")), allowMissingColumns=True
        )
        before = Window.partitionBy("user_id").orderBy("#clock")
        before = before.rangeBetween(Window.unboundedPreceding, -(self._lag() + 1))
        # An aggregate of a frame that only grows: one pass over a user's rows, however many there are.
        latest = known.select("#row", F.max_by("#recent", "#rank").over(before).alias("#recent"))
        latest = latest.where(F.col("#row").isNotNull())
        since = F.unix_date(F.col("#row.day")) - self.days
        none = F.slice(F.array(F.struct(F.lit(0).alias("day"), *[F.lit(0).alias(field) for field in self.of])), 1, 0)
        recent = F.coalesce(F.reverse(F.filter("#recent", lambda event: event["day"] >= since)), none)
        lists = {f"{name}_{field}#": padded(recent.getField(field), self.last, NO_ID) for field in self.of}
        return latest.select("#row.*", *[ids.alias(column) for column, ids in lists.items()])

    def _latest(self, shown: "DataFrame") -> "DataFrame":
        """For each tick of the clock that a user's events came at, the `last` ones up to then, the newest last."""
        from pyspark.sql import Window
        from pyspark.sql import functions as F

        events = shown.where(_WHERE[self.where]).select(
            "user_id",
            "ts",
            "impression_id",
            self._clock().alias("#clock"),
            F.struct(F.unix_date("day").alias("day"), *[F.col(f"{field}#").alias(field) for field in self.of]).alias(
                "#event"
            ),
        )
        order = Window.partitionBy("user_id").orderBy("#clock", "ts", "impression_id")
        return events.select(
            "user_id",
            "#clock",
            F.row_number().over(order).alias("#rank"),
            F.collect_list("#event").over(order.rowsBetween(1 - self.last, 0)).alias("#recent"),
            F.lead("#clock").over(order).alias("#next"),
        ).where("`#next` IS NULL OR `#next` != `#clock`")

    def _clock(self) -> "Column":
        from pyspark.sql import functions as F

        return F.unix_date("day").cast("bigint") if self.lag_hours is None else F.unix_micros("ts")

    def _lag(self) -> int:
        """The least time between an event and the row, in ticks of the clock, beside one tick."""
        return 0 if self.lag_hours is None else round(self.lag_hours * HOUR)
