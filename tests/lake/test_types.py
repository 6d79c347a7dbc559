"""Which types hold another's values."""

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import (
    BooleanType,
    ByteType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    NullType,
    StringType,
    TimestampNTZType,
    TimestampType,
)

from ncs.lake.types import common, fits, wider
from ncs.logs.schemas import bronze_type


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (ByteType(), LongType(), LongType()),
        (IntegerType(), LongType(), LongType()),
        (LongType(), DoubleType(), DoubleType()),
        (FloatType(), IntegerType(), DoubleType()),
        (DecimalType(25, 2), DoubleType(), DoubleType()),
        (DecimalType(25, 2), DecimalType(20, 3), DecimalType(26, 3)),
        (DecimalType(25, 2), LongType(), DecimalType(25, 2)),
        (DecimalType(38, 2), DecimalType(38, 4), None),
        (NullType(), StringType(), StringType()),
        (TimestampNTZType(), TimestampType(), TimestampType()),
        (StringType(), LongType(), None),
        (BooleanType(), LongType(), None),
        (DateType(), TimestampType(), None),
    ],
)
def test_the_wider_type_holds_both(one: DataType, other: DataType, expected: DataType | None) -> None:
    assert wider(one, other) == wider(other, one) == expected


def test_a_type_fits_where_nothing_is_lost() -> None:
    assert fits(IntegerType(), DoubleType())
    assert fits(NullType(), DateType())
    assert not fits(LongType(), DoubleType())
    assert not fits(DoubleType(), FloatType())


def test_bronze_keeps_no_time_without_a_zone_and_no_void() -> None:
    assert bronze_type(TimestampNTZType()) == TimestampType()
    assert bronze_type(NullType()) == StringType()
    assert bronze_type(DecimalType(60, 2)) is None


@pytest.mark.parametrize(
    ("kept", "rows", "expected"),
    [
        ("array('a') AS x", "'a' AS x", StringType()),
        ("'a' AS x", "array('a') AS x", StringType()),
        ("array(1) AS x", "array(1L) AS x", StringType()),
    ],
)
def test_a_list_beside_another_kind_becomes_text_or_is_refused(
    spark: SparkSession, kept: str, rows: str, expected: DataType
) -> None:
    before, after = spark.sql(f"SELECT {kept}"), spark.sql(f"SELECT {rows}")
    assert common("x", before, after, text=True) == expected
    assert common("x", before, after, text=False) is None
