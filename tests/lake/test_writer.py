"""Writers that come between each other: every day ends as one of them wrote it whole."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from threading import Barrier

import pytest
from delta.exceptions import ConcurrentAppendException
from pyspark.sql import SparkSession

from ncs.errors import DataError
from ncs.lake import layout, writer
from ncs.lake.layout import Lake, Record


def test_conflicts_end_in_whole_days(spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two writers at once, both of the first day, each of one more."""
    pauses: list[float] = []
    together = Barrier(2)
    uri = lake.uri("silver/numbers")

    def write(number: int) -> None:
        days = [date(2022, 4, 8), date(2022, 4, 9 + number)]
        rows = [(number, day) for day in days for _ in range(5)]
        frame = spark.createDataFrame(rows, "writer int, day date").coalesce(1)
        records = [Record("label", str(day), {"writer": number}) for day in days]
        together.wait()
        writer.replace_days(frame, uri, records)

    monkeypatch.setattr(writer.time, "sleep", pauses.append)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    assert pauses, "the writers never met: nothing is shown"
    found = Counter((str(row.day), row.writer) for row in spark.read.format("delta").load(uri).collect())
    records = lake.records("silver/numbers")
    expected = {(day, record.provenance["writer"]): 5 for day, (_, record) in records.items()}
    assert found == expected
    assert set(records) == {"2022-04-08", "2022-04-09", "2022-04-10"}


def test_conflicts_without_end_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(writer.time, "sleep", pauses.append)

    def lose() -> None:
        raise ConcurrentAppendException("files were added to day=2022-04-08")

    with pytest.raises(DataError, match=r"silver/x: other writers came between 8 times, .* added to day=2022-04-08"):
        writer.retry_conflicts(lose, "silver/x")
    assert len(pauses) == 7
    assert pauses[-1] > 10 * pauses[0]


def test_other_errors_are_not_tried_again() -> None:
    calls = []

    def fail() -> None:
        calls.append(1)
        raise ValueError("disk full")

    with pytest.raises(ValueError, match="disk full"):
        writer.retry_conflicts(fail, "silver/x")
    assert len(calls) == 1


def test_a_table_whose_first_rows_break_its_contract_is_not_left(spark: SparkSession, lake: Lake) -> None:
    uri, record = lake.uri(layout.CALIBRATION), Record("predict", "r", {})
    rows = "SELECT 'r' AS run_id, 's' AS model, 'ctr' AS task, 0 AS place, {} AS prediction, 0.5D AS calibrated"
    with pytest.raises(DataError, match=r"gold/calibration does not take these rows: \[DELTA_\w+\]") as refused:
        writer.replace_run(spark.sql(rows.format("CAST(NULL AS DOUBLE)")), uri, record, ("run_id",))
    assert len(str(refused.value).splitlines()) == 1
    assert not lake.has(layout.CALIBRATION)
    writer.replace_run(spark.sql(rows.format("0.4D")), uri, record, ("run_id",))
    assert lake.rows_by("run_id", layout.CALIBRATION) == {"r": 1}


def test_rows_that_delta_does_not_take_are_named_in_one_line(spark: SparkSession, lake: Lake) -> None:
    rows = spark.sql("SELECT 1 AS n, DATE '2022-04-09' AS day")
    with pytest.raises(DataError, match=r"bronze/clicks does not take these rows: \[DELTA_\w+\] ") as refused:
        writer.replace_days(rows, lake.uri(layout.CLICKS), [Record("ingest", "2022-04-08", {})])
    assert len(str(refused.value).splitlines()) == 1
    assert not lake.has(layout.CLICKS)


def test_no_rows_are_recorded_too(spark: SparkSession, lake: Lake) -> None:
    """A day without clicks, a log of no users: that there are none has to be known, or it is read for ever again."""
    none = spark.createDataFrame([], "writer int, day date")
    writer.replace_days(none, lake.uri("silver/numbers"), [Record("label", "2022-04-08", {"of": "a day"})])
    writer.replace_all(none.drop("day"), lake.uri("silver/all"), Record("ingest", layout.ALL, {"of": "all"}))
    assert lake.records("silver/numbers")["2022-04-08"][1].provenance == {"of": "a day"}
    assert lake.records("silver/all")[layout.ALL][1].provenance == {"of": "all"}
    writer.replace_days(none, lake.uri("silver/numbers"), [Record("label", "2022-04-08", {"of": "the day again"})])
    assert lake.records("silver/numbers")["2022-04-08"][1].provenance == {"of": "the day again"}
