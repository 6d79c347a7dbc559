"""Spark expressions that several kinds of features share."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, DoubleType, FloatType, NumericType

from ncs.kinds.base import EXACT


def as_text(value: Column, dtype: DataType) -> Column:
    """A value as text, a whole number alike whatever the type of number that it is kept as: `65`, not `65.0`."""
    if not isinstance(dtype, FloatType | DoubleType):
        return value.cast("string")
    whole = (F.abs(value) <= EXACT) & (value == F.floor(value))
    return F.when(whole, value.cast("bigint").cast("string")).otherwise(value.cast("string"))


def join_ids(rows: DataFrame, name: str, text: Column, known: DataFrame) -> DataFrame:
    """Add `<name>#`, the id of a text, 0 where it is unknown or null."""
    value, number = f"{name}#value", f"{name}#id"
    known = known.select(F.col("value").alias(value), F.col("id").alias(number))
    joined = rows.join(known, text == F.col(value), "left")
    return joined.withColumn(f"{name}#", F.coalesce(number, F.lit(0))).drop(value, number)


def finite(value: Column) -> Column:
    """A number as a double, null where it is missing, NaN or infinite."""
    number = value.cast("double")
    return F.when(~F.isnan(number) & (F.abs(number) != float("inf")), number)


def position(value: Column, edges: list[float]) -> Column:
    """The number of ascending edges at or below a value; null for null and NaN."""
    number = value.cast("double")
    passed = F.size(F.filter(F.array(*[F.lit(edge) for edge in edges]), lambda edge: edge <= number))
    return F.when(number.isNotNull() & ~F.isnan(number), passed)


def padded(ids: Column, length: int, filler: int) -> Column:
    """An array of at most `length` ids as one of exactly so many."""
    return F.concat(ids, F.array_repeat(F.lit(filler), F.lit(length) - F.size(ids))).cast("array<int>")


NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double", "decimal")
"""The names of Spark's types of numbers, without a decimal's digits."""


def no_number(dtype: DataType) -> bool:
    """Whether a column's values are no numbers."""
    return not isinstance(dtype, NumericType)


def no_scalar(dtype: DataType) -> str | None:
    """The problem with a column that should have one value per row."""
    if isinstance(dtype, ArrayType):
        return f"silver/samples has lists ({dtype.simpleString()}); encode: list"
    if dtype.typeName() == "binary":
        return "silver/samples has bytes; write them as text or a number in the log"
    return None
