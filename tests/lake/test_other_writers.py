"""Rows that another program deletes, with deletion vectors as Databricks does or without."""

from datetime import date

import pytest
from pyspark.sql import SparkSession

from ncs.data_loading import Snapshot
from ncs.days import Days
from ncs.errors import DataError
from ncs.lake.commits import parse_message
from ncs.lake.layout import CHANGED, Lake, Record, user_metadata
from ncs.lake.writer import replace_samples

TABLE = "gold/ctr_samples"
DAYS = Days.parse("2022-04-08..2022-04-09")


@pytest.fixture
def table(spark: SparkSession, lake: Lake) -> str:
    """Ten rows a day, in a table with deletion vectors."""
    rows = [(f"{day}-{n}", day, "train", n) for day in DAYS for n in range(10)]
    frame = spark.createDataFrame(rows, "impression_id string, day date, split string, user_id int").coalesce(1)
    replace_samples(frame, lake.uri(TABLE), [Record("encode", str(day), {}) for day in DAYS], [], 0)
    name = f"delta.`{lake.uri(TABLE)}`"
    spark.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    return name


def test_deleted_rows_are_not_read_and_not_counted(spark: SparkSession, lake: Lake, table: str) -> None:
    first, last = map(str, DAYS)
    before = lake.records(TABLE)
    spark.sql(f"DELETE FROM {table} WHERE day = '{last}' AND user_id < 3")
    version = lake.version(TABLE)
    assert lake.rows_by_day(TABLE) == {first: 10, last: 7}
    refusal = rf"{TABLE} version {version} has deletion vectors: .* deleted 3 rows .* 1 of its files.*REORG TABLE"
    with pytest.raises(DataError, match=refusal):
        Snapshot.of(lake, TABLE, version, DAYS, "train")
    with pytest.raises(DataError, match=refusal):
        lake.read(TABLE, version, ["user_id"])
    assert lake.records(TABLE)[first] == before[first]
    assert lake.records(TABLE)[last] == (
        version,
        Record("encode", last, *[{CHANGED: f"DELETE, version {version}"}] * 2),
    )
    assert lake.records(TABLE, version - 1) == before

    # The remedies: purged, the rows are gone from the files; written again, there is no vector left.
    spark.sql(f"REORG TABLE {table} APPLY (PURGE)")
    assert lake.commits(TABLE)[last].version == version, "the same rows in other files"
    assert Snapshot.of(lake, TABLE, lake.version(TABLE), DAYS, "train").rows == 17
    spark.sql(f"DELETE FROM {table} WHERE user_id = 9")
    with pytest.raises(DataError, match="has deletion vectors"):
        Snapshot.of(lake, TABLE, lake.version(TABLE), DAYS, "train")
    rows = [(f"{day}-0", date.fromisoformat(str(day)), "train", 0) for day in DAYS]
    frame = spark.createDataFrame(rows, "impression_id string, day date, split string, user_id int")
    records = [Record("encode", str(day), {"again": 1}) for day in DAYS]
    replace_samples(frame, lake.uri(TABLE), records, [], 0)
    assert Snapshot.of(lake, TABLE, lake.version(TABLE), DAYS, "train").rows == 2
    assert [record for _, record in lake.records(TABLE).values()] == records


@pytest.mark.parametrize("text", [None, 7, "", "x", "null", "[", "[[]]", '[{"stage": 1}]', "[" * 100_000])
def test_a_message_of_somebody_else_says_nothing(text: object) -> None:
    assert parse_message(text) == ()


def test_a_message_of_ours_is_read() -> None:
    records = (Record("label", "2022-04-08", {"conf": "x"}, {"rows": 3}), Record("label", "2022-04-09", {}))
    assert parse_message(user_metadata(records)) == records
