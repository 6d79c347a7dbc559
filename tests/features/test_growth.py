"""A vocabulary that grows: ids stay, new values are appended by frequency, buckets keep their edges."""

import pyarrow as pa
from pyspark.sql import SparkSession

from ncs.features.growth import grow, largest_ids
from ncs.lake import layout
from ncs.lake.layout import ALL, Lake, Record
from ncs.lake.vocabulary import LINEAGE, is_successor, lineage, means_the_same
from ncs.serving import Encoder
from tests.factories import toy_conf
from tests.jobs.conftest import write_part

COLUMNS = "field string, value string, id int, count bigint"


def test_ids_stay_and_new_values_are_appended(spark: SparkSession) -> None:
    known = [("user", "a", 1, 9), ("user", "b", 2, 5), ("age", "-inf", 1, 7), ("age", "3.0", 2, 7)]
    learnt = [
        ("user", "b", 1, 30),
        ("user", "d", 2, 8),
        ("user", "c", 3, 8),
        ("user", "e", 4, 11),
        ("age", "-inf", 1, 9),
        ("age", "4.0", 2, 9),
        ("video", "x", 1, 2),
    ]
    frames = [spark.createDataFrame(rows, COLUMNS) for rows in (known, learnt)]
    grown = grow(*frames, growing=["user", "video"], largest={"user": 6, "age": 2})
    rows = {tuple(row) for row in grown.collect()}
    assert rows >= set(known), "whoever is gone from the window keeps the id, a bucket its edge"
    # 3 to 6 were given to values that have been erased since
    assert rows - set(known) == {("user", "e", 7, 11), ("user", "c", 8, 8), ("user", "d", 9, 8), ("video", "x", 1, 2)}
    assert largest_ids(grown) == {"user": 9, "age": 2, "video": 1}
    again = grow(grown, frames[1], growing=["user", "video"], largest=largest_ids(grown))
    assert {tuple(row) for row in again.collect()} == rows, "nothing is new"


def test_versions_of_one_lineage_mean_the_same(lake: Lake) -> None:
    assert lineage(lake) is None
    for facts in ({"content": {}}, {LINEAGE: "l1", "content": {"a": 1}}, {LINEAGE: "l1", "content": {"a": 2}}):
        write_part(lake, layout.VOCABULARY, 1, Record("encode", ALL, {}, facts))
    assert [lineage(lake, version) for version in range(3)] == ["version 0", "l1", "l1"]
    assert lineage(lake) == "l1"
    first, grown, again = (lake.records(layout.VOCABULARY, version)[ALL][1].facts for version in range(3))
    assert [means_the_same(lake, version) for version in range(3)] == [False, True, True]
    assert means_the_same(lake, 0, newest=0)
    assert is_successor(again, grown)
    assert is_successor(first, dict(first))
    assert not is_successor(grown, first)


def test_ids_after_one_that_was_erased_stay() -> None:
    fields = toy_conf().features
    rows = {"field": ["user_id"] * 2 + ["video_id"], "value": ["a", "c", "x"], "id": [1, 3, 1]}
    encoder = Encoder(fields, pa.table(rows))
    assert encoder.column("user_id", pa.array(["c", "b", "a"])).tolist() == [3, 0, 1]
