"""Statistics of the days before: how often impressions of this user, video, author ... were clicked and watched.

A statistic of a row is taken from the `days` days before the row's own day, so that it knows no label of that day.
Each day is summed once, in gold/daily_statistics; a row joins the sums of the days before its own.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ncs.kinds.number import Number
from ncs.values import Identifier, NonNegative, Positive, Section

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

Statistic = Literal["clicked", "cvr", "impressions", "watched_seconds"]
ALL_ROWS = "*"
"""The group, and its only key, of all rows of a day."""
_SUMS = ("impressions", "clicks", "labelled", "cvr", "watched_seconds")
_LONGEST = 86_400
"""Seconds of one impression that count as watched: no broken clock outweighs all others."""
_UNIT = 1_000_000
"""Sums are of millionths as whole numbers, so that they do not depend on the order of the rows."""


class Statistics(Section):
    """Some statistics of the rows that agree in the columns `by`; each becomes a number called as in `fields`.

    clicked: the click rate, (clicks + smoothing * p) / (impressions + smoothing), where p is the rate of all rows of
    those days; cvr: likewise the mean label of the rows that have one; impressions, watched_seconds: log(1 + sum).
    With `half_life` a day's rows count half as much as those of so many days later. Where a column of `by` has no
    value, and on a day before which there is none, there is no statistic.
    """

    by: Annotated[list[Identifier], Field(min_length=1, max_length=4)]
    of: Annotated[list[Statistic], Field(min_length=1, default_factory=lambda: ["clicked", "cvr", "impressions"])]
    days: Annotated[int, Field(ge=1, le=366)] = 7
    smoothing: NonNegative = 5.0
    half_life: Positive | None = None

    @property
    def group(self) -> str:
        """What gold/daily_statistics calls the columns, `user_id,category`."""
        return ",".join(self.by)

    @property
    def fields(self) -> dict[str, Number]:
        """The features, e.g. `user_id_category_clicked_7d`, `..._7d_half_life_2`."""
        decay = "" if self.half_life is None else f"_half_life_{self.half_life:g}".replace(".", "_")
        return {
            f"{'_'.join(self.by)}_{statistic}_{self.days}d{decay}": Number(side="context", scale="standard")
            for statistic in self.of
        }

    def join(self, rows: "DataFrame", days: Collection[date], daily: "DataFrame | None") -> "DataFrame":
        """Add the statistics to rows of silver/samples, double, null where there is none.

        Args:
            rows: rows of `days`.
            days: their days, so that no job has to find them.
            daily: rows of gold/daily_statistics; those of other days than the `days` before a row's change nothing.
                None: there is no day before.
        """
        from pyspark.sql import functions as F

        if daily is None:
            return rows.withColumns({name: F.lit(None).cast("double") for name in self.fields})
        later = F.filter(
            F.array(*map(F.lit, sorted(days))), lambda day: F.datediff(day, F.col("day")).between(1, self.days)
        )
        sums = daily.where(F.col("group").isin(self.group, ALL_ROWS)).withColumn("#day", F.explode(later))
        age = F.datediff("#day", "day") - 1
        weight = F.lit(1.0) if self.half_life is None else F.pow(F.lit(0.5), age / self.half_life)
        sums = sums.groupBy("#day", "group", "key").agg(*[_sum(F.col(name) * weight).alias(name) for name in _SUMS])
        own = sums.where(F.col("group") == self.group).drop("group").withColumnsRenamed(_named("own"))
        whole = sums.where(F.col("group") == ALL_ROWS).drop("group", "key").withColumnsRenamed(_named("all"))
        keyed = rows.withColumn("#of", _key(rows, self.by))
        same_day = keyed["day"] == F.col("#day")
        joined = keyed.join(own, same_day & (F.col("#of") == F.col("#own_key")), "left").drop("#day")
        joined = joined.join(F.broadcast(whole), joined["day"] == F.col("#day"), "left").drop("#day")
        known = F.col("#of").isNotNull() & F.col("#all_impressions").isNotNull()
        values = zip(self.fields, self.of, strict=True)
        return joined.withColumns(
            {name: F.when(known, self._statistic(statistic)) for name, statistic in values}
        ).select(*rows.columns, *self.fields)

    def _statistic(self, name: Statistic) -> "Column":
        from pyspark.sql import functions as F

        own = {column: F.coalesce(f"#own_{column}", F.lit(0.0)) for column in _SUMS}
        if name in ("impressions", "watched_seconds"):
            return F.log1p(own[name])
        total, rows = ("clicks", "impressions") if name == "clicked" else ("cvr", "labelled")
        # Without smoothing a rate needs a row, not a rate of all rows.
        rate = F.when(F.col(f"#all_{rows}") > 0, F.col(f"#all_{total}") / F.col(f"#all_{rows}"))
        prior = rate * self.smoothing if self.smoothing else F.lit(0.0)
        count = own[rows] + self.smoothing
        return F.when(count > 0, (own[total] + prior) / count)


def groups_of(statistics: Iterable[Statistics]) -> list[list[str]]:
    """The columns that days are summed by, each combination once, in order."""
    return sorted({one.group: one.by for one in statistics}.values())


def sum_days(samples: "DataFrame", groups: Sequence[Sequence[str]]) -> "DataFrame":
    """Rows of gold/daily_statistics: of each day, the sums of all rows and of each key of each group.

    A key is the value of the group's column as text or, of several columns, a JSON list of them. Rows without a value
    in one of the columns are in no key of the group.
    """
    from pyspark.sql import functions as F

    keys = [(F.lit(ALL_ROWS), F.lit(ALL_ROWS)), *((F.lit(",".join(by)), _key(samples, by)) for by in groups)]
    of = F.explode(F.array(*[F.struct(group.alias("group"), key.alias("key")) for group, key in keys]))
    watched = F.least("watched_seconds", F.lit(_LONGEST))
    rows = samples.select("day", of.alias("of"), "clicked", "cvr", watched.alias("watched_seconds"))
    return (
        rows.where(F.col("of.key").isNotNull())
        .groupBy("day", F.col("of.group").alias("group"), F.col("of.key").alias("key"))
        .agg(
            F.count("*").alias("impressions"),
            F.sum(F.col("clicked").cast("bigint")).alias("clicks"),
            F.count("cvr").alias("labelled"),
            F.coalesce(_sum(F.col("cvr")), F.lit(0.0)).alias("cvr"),
            _sum(F.col("watched_seconds")).alias("watched_seconds"),
        )
    )


def _sum(value: "Column") -> "Column":
    from pyspark.sql import functions as F

    return F.sum(F.round(value * _UNIT).cast("bigint")) / _UNIT


def _key(rows: "DataFrame", by: Sequence[str]) -> "Column":
    """A row's key in a group, null where a column has no value."""
    from pyspark.sql import functions as F

    from ncs.kinds.spark import as_text

    texts = [as_text(F.col(name), rows.schema[name].dataType) for name in by]
    if len(texts) == 1:
        return texts[0]
    given = F.lit(True)
    for text in texts:
        given = given & text.isNotNull()
    return F.when(given, F.to_json(F.array(*texts)))


def _named(side: str) -> dict[str, str]:
    return {name: f"#{side}_{name}" for name in ("key", *_SUMS)}
