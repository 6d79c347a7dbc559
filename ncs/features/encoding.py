"""Features: what is learnt of them on the training days, and samples as the net's inputs.

What each kind of feature learns and how it encodes a value stands in its module of `ncs.kinds`. An id is a position in
its field's part of the embedding table: 0 is unknown (unseen, rare or missing), the others count from 1.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from ncs.config import Encode, Split
from ncs.config.checks import KEYS
from ncs.config.expressions import parse_expression
from ncs.errors import DataError
from ncs.features.split import LateRows, is_validation
from ncs.kinds import Feature, IdSlot, Slot
from ncs.kinds.base import ColumnFeature
from ncs.kinds.spark import NUMBERS
from ncs.lake.types import is_empty
from ncs.tasks import Task

_DATA_EXCEPTION = re.compile(r"(\[[A-Z_.]+\] [^\n]*?) SQLSTATE: 22")
"""Spark's errors for a value that an expression cannot compute with, as a division by zero."""
_SUMMARY_ROWS = 1_000_000
"""Rows that bucket edges and scales are taken from: enough for a thousand buckets, bounded whatever the log's size."""


class LearntVocabulary(NamedTuple):
    """The vocabulary that is learnt on the training days."""

    rows: DataFrame
    """`field, value, id, count`, as gold/vocabulary has them."""
    reports: list[str]
    """Warnings about single fields, one per line."""


def check_columns(samples: DataFrame, features: Mapping[str, Feature], tasks: Mapping[str, Task]) -> None:
    """Raise DataError for what the samples cannot give.

    A feature whose column is none of theirs, or of a type that its kind cannot encode; a task's label or condition
    that is no expression of their columns.
    """
    for name, feature in column_features(features).items():
        if name not in samples.columns:
            raise DataError(
                f"fields.{name}: silver/samples has no such column; it has {', '.join(sorted(samples.columns))}"
            )
        problem = feature.problem(samples.schema[name].dataType)
        if problem and not is_empty(samples, name):
            raise DataError(f"fields.{name}: {problem}")
    columns = [name.lower() for name in (*KEYS, *features, *(task.label for task in tasks.values()))]
    for task in tasks.values():
        if columns.count(task.label.lower()) > 1:
            raise DataError(
                f"tasks.{task.name}: its label would be kept in a column {task.label}, which a sample table has "
                f"already; give the task another name"
            )
        kind = _kind(samples, f"tasks.{task.name}.label", task.expression)
        if kind not in ("boolean", *NUMBERS):
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
        typed = samples.select("impression_id", F.expr(expression).alias("value"))
        # What the configuration's own check lets pass is of the row alone; Spark has to see it so too.
        if not typed._jdf.queryExecution().analyzed().deterministic():
            raise DataError(f"{key}: {expression!r} gives other values for the same row")
        return typed.dtypes[1][1].partition("(")[0]
    except AnalysisException as err:  # of which a ParseException is one
        if (err.getCondition() or "").startswith("UNRESOLVED_COLUMN"):
            name = (err.getMessageParameters() or {}).get("objectName", "a column").replace("`", "")
            raise DataError(
                f"{key}: {expression!r} names {name}, silver/samples has no such column; it has "
                f"{', '.join(sorted(samples.columns))}"
            ) from None
        text = " ".join(str(err).split("SQLSTATE")[0].split())
        raise DataError(f"{key}: {expression!r} is no SQL expression of silver/samples: {text}") from None


def column_features(features: Mapping[str, Feature]) -> dict[str, ColumnFeature]:
    """The features that are made from a column each."""
    return {name: feature for name, feature in features.items() if isinstance(feature, ColumnFeature)}


def build_vocabulary(
    samples: DataFrame, features: Mapping[str, Feature], with_statistics: Callable[[DataFrame], DataFrame] = lambda r: r
) -> LearntVocabulary:
    """Learn `field, value, id, count` from the samples of the training days.

    Two passes: one over some rows for what is learnt from them as a whole (bucket edges, scales), one over all rows
    that counts values. Values seen fewer than `min_count` times have no row: they are unknown.

    Args:
        samples: of the training days.
        features: those of the configuration.
        with_statistics: adds the columns that features are made from beside those of silver/samples.
    """
    columns = column_features(features)
    schema = with_statistics(samples).schema
    types = {name: schema[name].dataType for name in columns}
    wanted = {name: field.summary(name, types[name]) for name, field in columns.items()}
    aggregates = [summary.alias(name) for name, summary in wanted.items() if summary is not None]
    row = with_statistics(_some_rows(samples)).agg(*aggregates).first() if aggregates else None
    summaries = row.asDict() if row else {}
    values = {name: field.values(name, types[name], summaries.get(name)) for name, field in columns.items()}
    counted = _counted(samples, {name: column for name, column in values.items() if column is not None}, columns)
    learnt = [
        (name, value, number, count)
        for name, summary in summaries.items()
        for number, (value, count) in enumerate(columns[name].learnt(summary), start=1)
    ]
    rows = samples.sparkSession.createDataFrame(learnt, "field string, value string, id int, count bigint")
    reports = {name: columns[name].report(summary) for name, summary in summaries.items()}
    return LearntVocabulary(counted.unionByName(rows), [f"{name}: {text}" for name, text in reports.items() if text])


def _some_rows(samples: DataFrame) -> DataFrame:
    part = F.pmod(F.xxhash64("impression_id", F.lit("edges")), F.lit(samples.count()))
    return samples.where(part < _SUMMARY_ROWS)


def _counted(samples: DataFrame, values: Mapping[str, Column], columns: Mapping[str, ColumnFeature]) -> DataFrame:
    """The values of each field and their ids, all fields in one pass."""
    named = [_with_name(name, column) for name, column in values.items()]
    least = {name: getattr(columns[name], "min_count", 1) for name in values} or {"": 1}
    none = F.array().cast("array<struct<field:string,value:string>>")
    counts = (
        samples.select(F.explode(F.concat(none, *named)).alias("v"))
        .select("v.*")
        .where(F.col("value").isNotNull())
        .groupBy("field", "value")
        .count()
        .where(F.col("count") >= _by_field(least))
    )
    by_value = F.col("field").isin([name for name in values if columns[name].by_value])
    value, frequency = F.when(by_value, F.col("value").try_cast("double")), F.when(~by_value, -F.col("count"))
    order = Window.partitionBy("field").orderBy(value, frequency, "value")
    return counts.select("field", "value", F.row_number().over(order).alias("id"), "count")


def check_values(samples: DataFrame, features: Mapping[str, Feature]) -> None:
    """Raise DataError for a value that its kind cannot encode, with the row. One pass over the samples, if any."""
    texts = {name: field.bad_rows(name) for name, field in column_features(features).items()}
    worst = {
        name: F.min(F.when(text.isNotNull(), F.struct("day", "impression_id", text.alias("text")))).alias(name)
        for name, text in texts.items()
        if text is not None
    }
    row = samples.agg(*worst.values()).first() if worst else None
    for name in worst:
        bad = row[name] if row else None
        if bad is not None:
            raise DataError(
                f"fields.{name}: silver/samples has impression {bad.impression_id} of {bad.day}, whose {name} "
                f"{bad.text}; correct it in the log, or leave {name} out of fields"
            )


def encode_columns(samples: DataFrame, vocabulary: DataFrame, features: Mapping[str, Feature]) -> DataFrame:
    """Add `<name>#`, what the sample tables hold, for each feature of a column that has none yet."""
    rows = samples
    for name, field in column_features(features).items():
        if f"{name}#" not in rows.columns:
            slot = field.slot(name)
            table = slot.table if isinstance(slot, IdSlot) else name
            rows = field.encode_column(rows, name, vocabulary.where(F.col("field") == table), samples)
    return rows


def encode_days(
    samples: DataFrame,
    vocabulary: DataFrame,
    features: Mapping[str, Feature],
    split: Split,
    encode: Encode,
    late: LateRows | None,
    tasks: Mapping[str, Task],
    beside: Sequence[str] = (),
) -> DataFrame:
    """Samples as inputs: `impression_id, day, split, day_number, <a column a feature>, <a float a task's label>`.

    Args:
        samples: with the statistics as columns, and the histories as `<name>#`.
        vocabulary: rows of gold/vocabulary.
        features: those of the configuration; each column has the type of its slot: int or array<int> of ids, float or
            array<float> of numbers.
        split: `validation` are the share `split.share` of the rows by a hash of the impression id, and the `late` ones;
            what a day is for is the reader's to say (`Config.select`).
        encode: seeds the order of the rows.
        tasks: a label is NaN where its task does not apply: Petastorm refuses nulls.
        beside: further columns of the samples that are kept, as floats.

    Rows are in a seeded random order.
    """
    rows = encode_columns(samples, vocabulary, features)
    order = F.xxhash64("impression_id", F.lit(encode.seed))
    return (
        rows.select(
            "impression_id",
            "day",
            F.when(is_validation(split, late), "validation").otherwise("train").alias("split"),
            F.unix_date("day").alias("day_number"),
            *[F.col(f"{name}#").cast(_type(feature.slot(name))).alias(name) for name, feature in features.items()],
            *[
                F.coalesce(label_column(task).cast("float"), F.lit(float("nan")).cast("float")).alias(task.label)
                for task in tasks.values()
            ],
            *[F.col(name).cast("float") for name in beside],
        )
        .repartition(order)
        .sortWithinPartitions("day", "split", order)
    )


def check_labels(samples: DataFrame, tasks: Mapping[str, Task]) -> None:
    """Raise DataError for a task whose label leaves [0, 1] on some row, with an example, or cannot be computed there.

    One pass over the samples. `clicked` and `cvr` themselves are checked where silver/samples is written.
    """
    known = [(name, parse_expression(f"({name}) IS NOT NULL").sql) for name in ("clicked", "cvr")]
    own = [task for task in tasks.values() if (task.expression, task.where) not in known]
    if not own:
        return
    try:
        row = samples.agg(
            *[
                end(F.when(label_column(task).isNotNull(), _labelled(task))).alias(f"{task.name}_{name}")
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
    return F.struct(label_column(task).alias("label"), "day", "impression_id")


def label_column(task: Task) -> Column:
    """A task's label on the rows of silver/samples; null where they have none."""
    none = F.lit(None).cast("double")
    return F.when(F.expr(task.where), F.nanvl(F.expr(task.expression).cast("double"), none))


def _type(slot: Slot) -> str:
    """The type of a feature's column in the sample tables."""
    element = "int" if isinstance(slot, IdSlot) else "float"
    return f"array<{element}>" if slot.is_list else element


def _with_name(name: str, values: Column) -> Column:
    return F.transform(values, lambda value: F.struct(F.lit(name).alias("field"), value.alias("value")))


def _by_field(values: Mapping[str, int]) -> Column:
    return F.create_map(*[F.lit(part) for pair in values.items() for part in pair])[F.col("field")]
