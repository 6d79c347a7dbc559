"""Statistics of earlier rows: how often impressions of this user, video, author ... were clicked and watched.

A statistic of a row is taken from the `days` days before the row's own day, so that it knows no label of that day.
Each day is summed once, in gold/daily_statistics; a row joins the sums of the days before its own. With `lag_hours` the
row's own day counts too, up to so long before the row, and the day before it no further: logs arrive late.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from ncs.kinds.base import HOUR
from ncs.kinds.number import Number
from ncs.values import Identifier, NonNegative, Positive, Section

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

Statistic = Literal["clicked", "cvr", "impressions", "watched_seconds", "hours_since"]
ALL_ROWS = "*"
"""The group, and its only key, of all rows of a day."""
SUMS = ("impressions", "clicks", "labelled", "cvr", "watched_seconds")
"""The sums of gold/daily_statistics."""
_LONGEST = 86_400
"""Seconds of one impression that count as watched: no broken clock outweighs all others."""
_UNIT = 1_000_000
"""Sums are of millionths as whole numbers, so that they do not depend on the order of the rows."""


class Statistics(Section):
    """Some statistics of the rows that agree in the columns `by`; each becomes a number called as in `fields`.

    clicked: the click rate, (clicks + smoothing * p) / (impressions + smoothing), where p is the rate of all rows of
    those days; cvr: likewise the mean label of the rows that have one; impressions, watched_seconds: log(1 + sum);
    hours_since: log(1 + hours) since the latest row of its own day and the day before, which `lag_hours` lets it see.
    With `half_life` a day's rows count half as much as those of so many days later. Where a column of `by` has no
    value, and on a day before which there is none, there is no statistic. With `lag_hours` an earlier row's label
    counts as known so long after the row was shown, though a click may come later, within the attribution window.
    """

    by: Annotated[list[Identifier], Field(min_length=1, max_length=4)]
    of: Annotated[list[Statistic], Field(min_length=1, default_factory=lambda: ["clicked", "cvr", "impressions"])]
    days: Annotated[int, Field(ge=1, le=366)] = 7
    smoothing: NonNegative = 5.0
    half_life: Positive | None = None
    lag_hours: Annotated[float, Field(ge=0, le=24)] | None = None
    """None: the days before alone."""

    @model_validator(mode="after")
    def _sees_single_rows(self) -> "Statistics":
        if "hours_since" in self.of and self.lag_hours is None:
            raise ValueError(f"hours_since by {self.group} looks back to single rows; add lag_hours, 0 or more")
        return self

    @property
    def group(self) -> str:
        """The name of the columns in gold/daily_statistics, `user_id,category`."""
        return ",".join(self.by)

    @property
    def fields(self) -> dict[str, Number]:
        """The features, e.g. `user_id_category_clicked_7d`, `..._7d_half_life_2`, `..._7d_lag_1h`."""
        decay = "" if self.half_life is None else f"_half_life_{self.half_life:g}"
        lag = "" if self.lag_hours is None else f"_lag_{self.lag_hours:g}h"
        ending = f"{self.days}d{decay}{lag}".replace(".", "_")
        return {
            f"{'_'.join(self.by)}_{statistic}_{ending}": Number(side="context", scale="standard")
            for statistic in self.of
        }

    def value(self, name: Statistic) -> "Column":
        """The number, of the sums `#own_<sum>`, with a lag `#late_<sum>`, and those of all rows, `#all_<sum>`."""
        from pyspark.sql import functions as F

        if name == "hours_since":
            return F.log1p((F.col("#clock") - F.col("#late_clock")) / HOUR)
        own = {column: F.coalesce(f"#own_{column}", F.lit(0.0)) for column in SUMS}
        if self.lag_hours is not None:
            own = {column: total + F.coalesce(f"#late_{column}", F.lit(0.0)) for column, total in own.items()}
        if name in ("impressions", "watched_seconds"):
            return F.log1p(own[name])
        total, rows = ("clicks", "impressions") if name == "clicked" else ("cvr", "labelled")
        # Without smoothing a rate needs a row, not a rate of all rows.
        rate = F.when(F.col(f"#all_{rows}") > 0, F.col(f"#all_{total}") / F.col(f"#all_{rows}"))
        prior = rate * self.smoothing if self.smoothing else F.lit(0.0)
        count = own[rows] + self.smoothing
        return F.when(count > 0, (own[total] + prior) / count)


def join_statistics(
    rows: "DataFrame",
    statistics: Iterable[Statistics],
    days: Collection[date],
    daily: "DataFrame | None",
    shown: "DataFrame | None" = None,
) -> "DataFrame":
    """Add statistics to rows of silver/samples, double, null where there is none; those of one window in one pass.

    Args:
        rows: rows of `days`.
        statistics: those of the configuration.
        days: their days, so that no job has to find them.
        daily: rows of gold/daily_statistics; those of other days than the `days` before a row's change nothing.
            None: there is no day before.
        shown: for `lag_hours`, all rows of the rows' days and of the day before each.
    """
    from pyspark.sql import functions as F

    windows: dict[tuple[int, float | None, float | None], list[Statistics]] = {}
    for each in statistics:
        windows.setdefault((each.days, each.half_life, each.lag_hours), []).append(each)
    for alike in windows.values():
        names = [name for each in alike for name in each.fields]
        if daily is None:
            rows = rows.withColumns({name: F.lit(None).cast("double") for name in names})
        else:
            joined = _with_sums(rows, alike, days, daily, shown)
            of_group = [
                F.max(F.when(F.col("group") == each.group, each.value(statistic))).alias(name)
                for each in alike
                for name, statistic in zip(each.fields, each.of, strict=True)
            ]
            by_impression = joined.groupBy("impression_id", "day").agg(*of_group)
            rows = rows.join(by_impression, ["impression_id", "day"], "left").select(*rows.columns, *names)
    return rows


def _with_sums(
    rows: "DataFrame",
    alike: Sequence[Statistics],
    days: Collection[date],
    daily: "DataFrame",
    shown: "DataFrame | None",
) -> "DataFrame":
    """A row for each of the rows and groups, `impression_id, day, group, key`, with the sums that it looks back to."""
    from pyspark.sql import functions as F

    window, groups = alike[0], column_groups(alike)
    later = F.filter(
        F.array(*map(F.lit, sorted(days))), lambda day: F.datediff(day, F.col("day")).between(1, window.days)
    )
    earlier = daily.withColumn("#day", F.explode(later))
    age = F.datediff("#day", "day") - 1
    weight = F.lit(1.0) if window.half_life is None else F.pow(F.lit(0.5), age / window.half_life)
    sums = [_sum(F.col(name) * weight).alias(name) for name in SUMS]
    whole = earlier.where(F.col("group") == ALL_ROWS).groupBy("#day").agg(*sums).withColumnsRenamed(_named("all"))
    looking = rows.select("impression_id", "day", F.unix_micros("ts").alias("#clock"), _keys(rows, groups).alias("of"))
    looking = looking.select("impression_id", "day", "#clock", "of.*").where(F.col("key").isNotNull())
    if window.lag_hours is not None:
        assert shown is not None
        looking = _with_latest(looking, shown, groups, window.lag_hours)
        earlier = earlier.where(F.col("day") < F.date_sub("#day", 1))  # the day before is in the latest rows
    own = earlier.where(F.col("group").isin([each.group for each in alike])).groupBy("#day", "group", "key").agg(*sums)
    own = own.withColumnsRenamed(_named("own")).withColumnRenamed("#day", "day")
    whole = whole.withColumnRenamed("#day", "day")
    return looking.join(own, ["day", "group", "key"], "left").join(F.broadcast(whole), "day")


def _with_latest(
    looking: "DataFrame", shown: "DataFrame", groups: Sequence[Sequence[str]], lag_hours: float
) -> "DataFrame":
    """Add `#late_<sum>`: the sums of a row's key over its own day and the one before, up to the lag before it.

    `#late_clock` is the latest time among them, null where there is none.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    # A row counts for its own day and for the next one.
    twice = shown.withColumn("day", F.explode(F.array("day", F.date_add("day", 1))))
    events = twice.select(
        "day",
        F.unix_micros("ts").alias("#clock"),
        F.unix_micros("ts").alias("#seen"),
        _keys(twice, groups).alias("of"),
        *[_millionths(value).alias(f"#{name}") for name, value in _of_row().items()],
    )
    events = events.select("*", "of.*").drop("of").where(F.col("key").isNotNull())
    before = Window.partitionBy("day", "group", "key").orderBy("#clock")
    before = before.rangeBetween(Window.unboundedPreceding, -(round(lag_hours * HOUR) + 1))
    late = events.unionByName(looking, allowMissingColumns=True).select(
        *looking.columns,
        *[(F.sum(f"#{name}").over(before) / _UNIT).alias(f"#late_{name}") for name in SUMS],
        F.max("#seen").over(before).alias("#late_clock"),
    )
    return late.where(F.col("impression_id").isNotNull())


def column_groups(statistics: Iterable[Statistics]) -> list[list[str]]:
    """The columns that days are summed by, each combination once, in order."""
    return sorted({each.group: each.by for each in statistics}.values())


def sum_days(samples: "DataFrame", groups: Sequence[Sequence[str]]) -> "DataFrame":
    """Rows of gold/daily_statistics: of each day, the sums of all rows and of each key of each group.

    A key is the value of the group's column as text or, of several columns, a JSON list of them. Rows without a value
    in one of the columns are in no key of the group.
    """
    from pyspark.sql import functions as F

    of = _keys(samples, groups, (F.lit(ALL_ROWS), F.lit(ALL_ROWS)))
    rows = samples.select("day", of.alias("of"), *[value.alias(name) for name, value in _of_row().items()])
    sums = {name: _sum(F.col(name)) for name in SUMS}
    counts = {name: sums[name].cast("bigint") for name in ("impressions", "clicks", "labelled")}
    return (
        rows.where(F.col("of.key").isNotNull())
        .groupBy("day", F.col("of.group").alias("group"), F.col("of.key").alias("key"))
        .agg(*[total.alias(name) for name, total in (sums | counts).items()])
    )


def _of_row() -> "dict[str, Column]":
    """The terms of a row of silver/samples in each sum."""
    from pyspark.sql import functions as F

    return {
        "impressions": F.lit(1),
        "clicks": F.col("clicked"),
        "labelled": F.col("cvr").isNotNull().cast("int"),
        "cvr": F.coalesce("cvr", F.lit(0.0)),
        "watched_seconds": F.least("watched_seconds", F.lit(_LONGEST)),
    }


def _sum(value: "Column") -> "Column":
    from pyspark.sql import functions as F

    return F.sum(_millionths(value)) / _UNIT


def _millionths(value: "Column") -> "Column":
    from pyspark.sql import functions as F

    return F.round(value * _UNIT).cast("bigint")


def _keys(rows: "DataFrame", groups: Sequence[Sequence[str]], *more: "tuple[Column, Column]") -> "Column":
    """A row for each group, with its name and the row's key in it; `more` are further ones."""
    from pyspark.sql import functions as F

    keys = [*more, *((F.lit(",".join(by)), _key(rows, by)) for by in groups)]
    return F.explode(F.array(*[F.named_struct(F.lit("group"), group, F.lit("key"), key) for group, key in keys]))


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
    return {name: f"#{side}_{name}" for name in SUMS}
