"""Column types: which hold another's values, and when a table's rows can take another type without loss."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    ByteType,
    DataType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    NullType,
    NumericType,
    ShortType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

from ncs.kinds.base import EXACT
from ncs.kinds.spark import as_text

MAX_DIGITS = 38
"""Of a decimal in Spark."""

_WIDER: dict[type[DataType], tuple[type[DataType], ...]] = {
    ByteType: (ShortType, IntegerType, LongType, FloatType, DoubleType),
    ShortType: (IntegerType, LongType, FloatType, DoubleType),
    IntegerType: (LongType, DoubleType),
    FloatType: (DoubleType,),
    TimestampNTZType: (TimestampType,),  # a time without a zone is UTC
}
_DIGITS: dict[type[DataType], int] = {ByteType: 3, ShortType: 5, IntegerType: 10, LongType: 19}


def fits(actual: DataType, expected: DataType) -> bool:
    """Whether every value of one type is, without loss, a value of the other. Void has no value."""
    return actual == expected or isinstance(actual, NullType) or type(expected) in _WIDER.get(type(actual), ())


def wider(left: DataType, right: DataType) -> DataType | None:
    """The narrowest type for the values of both: of numbers alone, or None.

    A double is wider than any number; its whole numbers are exact up to 2^53 (`beyond`).
    """
    if fits(left, right) or fits(right, left):
        return right if fits(left, right) else left
    if not isinstance(left, NumericType) or not isinstance(right, NumericType):
        return None
    if any(isinstance(kind, FloatType | DoubleType) for kind in (left, right)):
        return DoubleType()
    (whole, scale), (whole2, scale2) = _digits(left), _digits(right)
    precision = max(whole, whole2) + max(scale, scale2)
    return DecimalType(precision, max(scale, scale2)) if precision <= MAX_DIGITS else None


def beyond(rows: DataFrame, name: str, wide: DataType) -> int | None:
    """A whole number of a column that a double does not hold to its last digit, if the column is to be one."""
    kind = rows.schema[name].dataType
    if not isinstance(wide, DoubleType) or not isinstance(kind, LongType | DecimalType):
        return None
    row = rows.select(F.col(name).alias("value")).where(F.abs("value") > EXACT).first()
    return None if row is None else int(row.value)


def is_empty(rows: DataFrame, name: str) -> bool:
    """Whether no row has a value in a column: its type is then nobody's choice."""
    return rows.where(F.col(name).isNotNull()).isEmpty()


def casts(rows: DataFrame, name: str, dtype: DataType) -> bool:
    """Whether every value of a column can be one of another type and says the same there, as text."""
    before = rows.schema[name].dataType
    if isinstance(before, ArrayType) or isinstance(dtype, ArrayType):  # Spark makes no list of a value
        return False
    same = as_text(F.col(name).try_cast(dtype), dtype).eqNullSafe(as_text(F.col(name), before))
    return rows.where(~same).isEmpty()


def common(name: str, kept: DataFrame, rows: DataFrame, text: bool) -> DataType | None:
    """The type for a column of `rows` beside rows that are kept: the wider one, or the one of those that have values.

    Where neither is so: with `text`, the new type if all values kept can be cast to it, else a string; else None.
    """
    before, after = kept.schema[name].dataType, rows.schema[name].dataType
    wide = wider(before, after)
    if wide is not None and beyond(kept, name, wide) is None and beyond(rows, name, wide) is None:
        return wide
    if is_empty(kept, name):
        return after
    if is_empty(rows, name):
        return before
    if not text:
        return None
    return after if wide is None and casts(kept, name, after) else StringType()


def _digits(number: DataType) -> tuple[int, int]:
    """Digits before and after the point."""
    if isinstance(number, DecimalType):
        return number.precision - number.scale, number.scale
    return _DIGITS[type(number)], 0
