"""A commit that lacks rows is found by the table's log, and taken back."""

from datetime import date

import pyarrow as pa
import pytest
from deltalake import CommitProperties, write_deltalake

from ncs.errors import DataError
from ncs.lake.layout import ALL, Lake, Record, user_metadata
from ncs.lake.reconcile import Written, check_rows, take_back

TABLE = "bronze/clicks"
FIRST, SECOND = "2022-04-08", "2022-04-09"


def write(lake: Lake, day: str, rows: int) -> None:
    record = Record("ingest", day, {"files": rows}, {"rows": rows})
    write_deltalake(
        lake.uri(TABLE),
        pa.table({"n": range(rows), "day": [date.fromisoformat(day)] * rows}),
        mode="append",
        partition_by=["day"],
        commit_properties=CommitProperties(custom_metadata={"userMetadata": user_metadata([record])}),
    )


def test_a_commit_that_lacks_rows_is_taken_back(lake: Lake) -> None:
    write(lake, FIRST, 4)
    check_rows(lake, Written(TABLE, 0, False), {FIRST: 4})
    before = lake.records(TABLE)
    write(lake, SECOND, 3)
    bad = Written(TABLE, 1, True)
    with pytest.raises(DataError, match=rf"{TABLE} of {SECOND}: 5 rows were read, but Delta has written 3"):
        check_rows(lake, bad, {FIRST: 4, SECOND: 5})
    take_back(lake, bad)
    assert lake.rows_by_day(TABLE) == {FIRST: 4}
    assert lake.records(TABLE) == before, "what was taken back is not up to date"
    write(lake, SECOND, 5)
    assert {key: record.facts for key, (_, record) in lake.records(TABLE).items()} == {
        FIRST: {"rows": 4},
        SECOND: {"rows": 5},
    }


def test_a_table_that_began_with_it_is_removed(lake: Lake) -> None:
    write(lake, FIRST, 4)
    take_back(lake, Written(TABLE, 0, False))
    assert not lake.has(TABLE)


def test_another_writers_commit_is_not_taken_back(lake: Lake) -> None:
    write(lake, FIRST, 4)
    write(lake, SECOND, 3)
    with pytest.raises(DataError, match="but version 1 came after it; restore its days from version -1"):
        take_back(lake, Written(TABLE, 0, False))
    assert lake.rows_by_day(TABLE) == {FIRST: 4, SECOND: 3}


def test_rows_that_were_not_expected_are_found(lake: Lake) -> None:
    write_deltalake(lake.uri("bronze/users"), pa.table({"user_id": [1, 2]}))
    with pytest.raises(DataError, match=r"bronze/users: 1 rows were read, but Delta has written 2"):
        check_rows(lake, Written("bronze/users", 0, False), {ALL: 1})
