"""The lake knows what made each day, refuses other logs, and writes its small files whole or not at all."""

from datetime import date
from pathlib import Path

import fsspec
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from ncs.config import Config
from ncs.days import Days
from ncs.errors import DataError
from ncs.lake import storage
from ncs.lake.content import content
from ncs.lake.layout import ALL, Lake, Record
from ncs.lake.writer import replace_all, replace_days, replace_run
from tests.factories import toy_conf

TABLE = "silver/numbers"


def rows(spark: SparkSession, day: str, *values: int):  # type: ignore[no-untyped-def]
    return spark.createDataFrame([(value, date.fromisoformat(day)) for value in values], "value int, day date")


def found(spark: SparkSession, lake: Lake) -> dict[str, list[int]]:
    table = spark.read.format("delta").load(lake.uri(TABLE)).collect()
    return {str(day): sorted(row.value for row in table if row.day == day) for day in {row.day for row in table}}


def test_a_day_is_replaced_and_no_other_is_touched(spark: SparkSession, lake: Lake) -> None:
    uri = lake.uri(TABLE)
    for day, version in (("2022-04-08", 1), ("2022-04-09", 1), ("2022-04-08", 2)):
        replace_days(rows(spark, day, version, version), uri, [Record("label", day, {"n": version}, {"rows": 2})])
    assert found(spark, lake) == {"2022-04-08": [2, 2], "2022-04-09": [1, 1]}
    records = lake.records(TABLE)
    assert {key: (version, record.provenance) for key, (version, record) in records.items()} == {
        "2022-04-08": (3, {"n": 2}),
        "2022-04-09": (2, {"n": 1}),
    }
    days = Days.parse("2022-04-07..2022-04-09")
    assert lake.inputs(TABLE, days=days) == {f"{TABLE}/2022-04-08": 3, f"{TABLE}/2022-04-09": 2}
    with pytest.raises(Exception, match="DELTA_REPLACE_WHERE_MISMATCH"):
        replace_days(rows(spark, "2022-04-10", 5), uri, [Record("label", "2022-04-08", {})])
    assert found(spark, lake) == {"2022-04-08": [2, 2], "2022-04-09": [1, 1]}


def test_a_whole_table_and_a_part_of_one_are_replaced(spark: SparkSession, lake: Lake) -> None:
    uri = lake.uri(TABLE)
    replace_all(rows(spark, "2022-04-08", 1), uri, Record("encode", ALL, {"n": 1}))
    of_no_run = rows(spark, "2022-04-08", 7, 8).withColumn("run_id", F.lit("y"))
    replace_all(of_no_run, uri, Record("encode", ALL, {"n": 2}))
    assert found(spark, lake) == {"2022-04-08": [7, 8]}
    for values in ((8,), (8, 8)):
        of_run = rows(spark, "2022-04-08", *values).withColumn("run_id", F.lit("x"))
        replace_run(of_run, uri, Record("predict", "x", {}), ())
    assert found(spark, lake) == {"2022-04-08": [7, 8, 8, 8]}
    assert lake.inputs(TABLE) == {f"{TABLE}/{ALL}": 2}


def test_content_is_the_same_in_any_order_and_not_for_other_rows(spark: SparkSession) -> None:
    one = rows(spark, "2022-04-08", 1, 2, 3)
    assert content(one, "day") == content(rows(spark, "2022-04-08", 3, 1, 2).repartition(3), "day")
    others = [(1, 2), (1, 2, 4), (1, 2, 3, 3), (6,)]
    assert (
        len(
            {
                content(one, "day")["2022-04-08"],
                *[content(rows(spark, "2022-04-08", *values), "day")["2022-04-08"] for values in others],
            }
        )
        == 5
    )


def test_a_lake_keeps_to_its_logs(lake: Lake, load_conf) -> None:  # type: ignore[no-untyped-def]
    conf: Config = load_conf()
    lake.bind(load_conf("logs.source=mistyped"))
    lake.bind(conf)  # nothing was made from the first
    Path(lake.uri("bronze")).mkdir()
    lake.bind(load_conf("train.epochs=9", "labels.window_hours=12.0"))
    with pytest.raises(DataError, match=r"made from other logs: logs\.seed is 7 there, 8 here\. Use another --lake"):
        lake.bind(load_conf("logs.seed=8"))
    with pytest.raises(DataError, match=r"logs\.source"):
        lake.bind(load_conf("logs.source=elsewhere"))


def test_logs_from_a_folder_may_grow_by_days(lake: Lake) -> None:
    lake.bind(toy_conf("logs.source=raw"))
    lake.bind(toy_conf("logs.source=raw", "logs.days=2022-04-08..2022-04-20"))


def test_what_is_not_there_is_named(lake: Lake) -> None:
    with pytest.raises(DataError, match=r"silver/numbers is not in the lake .*run the stage that writes it"):
        lake.version(TABLE)
    assert lake.records(TABLE) == {}
    assert not lake.has(TABLE)


def test_small_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = str(tmp_path / "a" / "b.json")
    storage.write_json(path, {"n": 1})
    storage.write_json(path, {"n": 2})
    assert storage.read_json(path) == {"n": 2}
    blocked = tmp_path / "a" / "b.json" / "c.json"
    with pytest.raises(OSError, match=r"b\.json"):
        storage.write_json(str(blocked), {"n": 3})
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["b.json"]
    assert list(storage.files(str(tmp_path))) == ["a/b.json"]


def test_other_file_systems_serve_as_well() -> None:
    lake = Lake.at("memory://lake/")
    assert lake.uri("models", "x") == "memory://lake/models/x"
    storage.write_json(lake.uri("models", "x.json"), [1])
    assert storage.read_json("memory://lake/models/x.json") == [1]
    assert list(storage.files("memory://lake")) == ["models/x.json"]
    storage.remove("memory://lake")
    assert not fsspec.filesystem("memory").exists("/lake")
