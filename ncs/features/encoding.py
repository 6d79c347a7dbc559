"""Features: a vocabulary learnt on the training days, and samples as ids.

An id is a position in its field's part of the embedding table: 0 is unknown (unseen, rare or missing), the others
count from 1 in order of falling frequency (`vocabulary`) or rising value (`buckets`).
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from ncs.config import Config, Encode, Split
from ncs.config.expressions import parse_expression
from ncs.errors import DataError
from ncs.kinds import FeatureField
from ncs.lake.types import as_text, is_empty
from ncs.tasks import KEYS, Task

_NUMBERS = ("int", "bigint", "float", "double", "smallint", "tinyint", "decimal")
_DATA_EXCEPTION = re.compile(r"(\[[A-Z_.]+\] [^\n]*?) SQLSTATE: 22")
"""What Spark says of a value that an expression cannot compute with, as a division by zero."""
_QUANTILE_ROWS = 1_000_000
"""Rows that bucket edges are taken from: enough for a thousand buckets, and bounded whatever the log's size."""


def check_columns(samples: DataFrame, fields: Mapping[str, FeatureField], tasks: Mapping[str, Task]) -> None:
    """Raise DataError for what the samples cannot give.

    A configured field that is no column of theirs, a bucketed one that is no number, a task's label or condition that
    is no expression of their columns.
    """
    types = dict(samples.dtypes)
    for name, field in fields.items():
        if name not in types:
            raise DataError(f"fields.{name}: silver/samples has no such column; it has {', '.join(sorted(types))}")
        if types[name] == "binary":
            raise DataError(f"fields.{name}: silver/samples has bytes; write them as text or a number in the log")
        if field.encode == "buckets" and types[name].partition("(")[0] not in _NUMBERS and not is_empty(samples, name):
            raise DataError(
                f"fields.{name}: buckets need numbers, silver/samples has {types[name]}; encode: vocabulary"
            )
    columns = [name.lower() for name in (*KEYS, *fields, *(task.label for task in tasks.values()))]
    for task in tasks.values():
        if columns.count(task.label.lower()) > 1:
            raise DataError(
                f"tasks.{task.name}: its label would be kept in a column {task.label}, which a sample table has "
                f"already; give the task another name"
            )
        kind = _kind(samples, f"tasks.{task.name}.label", task.expression)
        if kind not in ("boolean", *_NUMBERS):
            raise DataError(
                f"tasks.{task.name}.label: a label is a number within [0, 1], {task.expression!r} is {kind}; "
                f"write cast(... as float)"
            )
        kind = _kind(samples, f"tasks.{task.name}.where", task.where)
        if kind != "boolean":
            raise DataError(f"tasks.{task.name}.where: {task.where!r} is {kind}, no condition; write one like x > 0")


def _kind(samples: DataFrame, key: str, expression: str) -> str:
    """The type of an SQL expression of the samples, without reading them."""
    try:
        # Beside a column, so that an aggregate is refused here too.
        found = samples.select("impression_id", F.expr(expression).alias("found"))
        # What the configuration's own check lets pass is of the row alone; Spark has to see it so too.
        if not found._jdf.queryExecution().analyzed().deterministic():
            raise DataError(f"{key}: {expression!r} gives other values for the same row")
        return found.dtypes[1][1].partition("(")[0]
    except AnalysisException as err:  # of which a ParseException is one
        if (err.getCondition() or "").startswith("UNRESOLVED_COLUMN"):
            name = (err.getMessageParameters() or {}).get("objectName", "a column").replace("`", "")
            raise DataError(
                f"{key}: {expression!r} names {name}, silver/samples has no such column; it has "
                f"{', '.join(sorted(samples.columns))}"
            ) from None
        text = " ".join(str(err).split("SQLSTATE")[0].split())
        raise DataError(f"{key}: {expression!r} is no SQL expression of silver/samples: {text}") from None


def build_vocabulary(samples: DataFrame, fields: Mapping[str, FeatureField]) -> DataFrame:
    """Learn `field, value, id, count` from the samples of the training days, all fields in one pass.

    The value of a bucket is its lower edge. Values seen fewer than `min_count` times have no row: they are unknown.
    """
    edges = _edges(samples, {name: field.buckets for name, field in fields.items() if field.encode == "buckets"})
    values = [
        F.struct(
            F.lit(name).alias("field"),
            (_lower_edge(F.col(name), edges[name]) if name in edges else _text(samples, name)).alias("value"),
        )
        for name in fields
    ]
    counts = (
        samples.select(F.explode(F.array(*values)).alias("v"))
        .select("v.*")
        .where(F.col("value").isNotNull())
        .groupBy("field", "value")
        .count()
        .where(F.col("count") >= _by_field({name: getattr(field, "min_count", 1) for name, field in fields.items()}))
    )
    bucketed = F.col("field").isin(*edges) if edges else F.lit(False)
    by_value, by_count = F.when(bucketed, F.col("value").cast("double")), F.when(~bucketed, -F.col("count"))
    order = Window.partitionBy("field").orderBy(by_value, by_count, "value")
    return counts.select("field", "value", F.row_number().over(order).alias("id"), "count")


class LateRows(NamedTuple):
    """The validation rows of a split by hours: those of the last training day from a moment on."""

    day: date
    since: datetime


def late_rows(conf: Config) -> LateRows | None:
    """The validation rows of the configuration's split, if it is one by hours."""
    if not conf.split.hours:
        return None
    day = conf.train_days.last
    midnight = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(conf.logs.timezone))
    return LateRows(day, midnight.astimezone(UTC) - timedelta(hours=conf.split.hours))


def encode_days(
    samples: DataFrame,
    vocabulary: DataFrame,
    fields: Mapping[str, FeatureField],
    split: Split,
    encode: Encode,
    late: LateRows | None,
    tasks: Mapping[str, Task],
) -> DataFrame:
    """Samples as ids: `impression_id, day, split, day_number, <an int a field>, <a float a task's label>`.

    A label is NaN where the task does not apply: Petastorm refuses nulls.

    `split` is `validation` for the share `split.share` of the rows by a hash of the impression id, and for the `late`
    rows, `train` for all others: whether a day is trained, validated or tested on is the reader's to say
    (`Config.select`). Rows are in a seeded random order.
    """
    rows = samples
    for name, field in fields.items():
        known = vocabulary.where(F.col("field") == name)
        if field.encode == "buckets":
            edges = [float(row.value) for row in known.select("value").orderBy("id").collect()]
            rows = rows.withColumn(f"{name}#", _position(F.col(name), edges))
        else:
            known = known.select(F.col("value").alias(f"{name}#value"), F.col("id").alias(f"{name}#"))
            rows = rows.join(known, _text(samples, name) == F.col(f"{name}#value"), "left")
    validation = F.pmod(F.xxhash64("impression_id", F.lit("split")), F.lit(1_000_000)) / 1_000_000 < split.share
    if late is not None:
        validation |= (F.col("day") == late.day) & (F.col("ts") >= F.lit(late.since))
    order = F.xxhash64("impression_id", F.lit(encode.seed))
    return (
        rows.select(
            "impression_id",
            "day",
            F.when(validation, "validation").otherwise("train").alias("split"),
            F.unix_date("day").alias("day_number"),
            *[F.coalesce(f"{name}#", F.lit(0)).cast("int").alias(name) for name in fields],
            *[
                F.coalesce(label_of(task).cast("float"), F.lit(float("nan")).cast("float")).alias(task.label)
                for task in tasks.values()
            ],
        )
        .repartition(order)
        .sortWithinPartitions("day", "split", order)
    )


def check_labels(samples: DataFrame, tasks: Mapping[str, Task]) -> None:
    """Raise DataError for a task whose label leaves [0, 1] on some row, with an example, or cannot be computed there.

    One pass over the samples. `clicked` and `cvr` themselves are held to it where silver/samples is written.
    """
    known = [(name, parse_expression(f"({name}) IS NOT NULL").sql) for name in ("clicked", "cvr")]
    own = [task for task in tasks.values() if (task.expression, task.where) not in known]
    if not own:
        return
    try:
        row = samples.agg(
            *[
                end(F.when(label_of(task).isNotNull(), _labelled(task))).alias(f"{task.name}_{name}")
                for task in own
                for name, end in (("min", F.min), ("max", F.max))
            ]
        ).first()
    except (PySparkException, Py4JJavaError) as err:
        reason = _DATA_EXCEPTION.search(str(err))
        if reason is None:
            raise
        for task in own if len(own) > 1 else []:  # which of them it is
            check_labels(samples, {task.name: task})
        raise DataError(
            f"tasks.{own[0].name}: {own[0].expression!r} where {own[0].where!r} fails on some row: {reason[1]}"
        ) from None
    assert row is not None
    for task in own:
        for end in ("min", "max"):
            worst = row[f"{task.name}_{end}"]
            if worst is not None and not 0 <= worst.label <= 1:
                raise DataError(
                    f"tasks.{task.name}.label: {task.expression!r} is {worst.label:.6g} on impression "
                    f"{worst.impression_id} of {worst.day}, a label is within [0, 1]; divide it by its largest value, "
                    f"or write least(1, ...)"
                )


def _labelled(task: Task) -> Column:
    return F.struct(label_of(task).alias("label"), "day", "impression_id")


def label_of(task: Task) -> Column:
    """A task's label on the rows of silver/samples; null where they have none."""
    none = F.lit(None).cast("double")
    return F.when(F.expr(task.where), F.nanvl(F.expr(task.expression).cast("double"), none))


def _text(samples: DataFrame, name: str) -> Column:
    """A value as the vocabulary writes it: the same when a whole number comes to be kept as a double."""
    return as_text(F.col(name), samples.schema[name].dataType)


def _edges(samples: DataFrame, buckets: Mapping[str, int]) -> dict[str, list[float]]:
    """Lower edges of each field's buckets: the first is minus infinity, equal quantiles fall together."""
    if not buckets:
        return {}
    total = samples.count()
    part = F.pmod(F.xxhash64("impression_id", F.lit("edges")), F.lit(total)) < _QUANTILE_ROWS
    quantiles = samples.where(part).agg(
        *[
            F.percentile(
                F.when(~F.isnan(F.col(name).cast("double")), F.col(name).cast("double")),
                [n / count for n in range(1, count)],
            ).alias(name)
            for name, count in buckets.items()
        ]
    )
    row = quantiles.first()
    assert row is not None
    return {name: [float("-inf"), *sorted(set(row[name] or []))] for name in buckets}


def _lower_edge(value: Column, edges: list[float]) -> Column:
    position = _position(value, edges)
    return F.element_at(F.array(*[F.lit(str(edge)) for edge in edges]), position)


def _position(value: Column, edges: list[float]) -> Column:
    """How many edges lie at or below the value, from 1; null for null and NaN."""
    number = value.cast("double")
    passed = F.size(F.filter(F.array(*[F.lit(edge) for edge in edges]), lambda edge: edge <= number))
    return F.when(number.isNotNull() & ~F.isnan(number), passed)


def _by_field(values: Mapping[str, int]) -> Column:
    return F.create_map(*[F.lit(part) for pair in values.items() for part in pair])[F.col("field")]
