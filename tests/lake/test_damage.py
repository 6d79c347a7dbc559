"""Bits of a gold file that Spark has written change: whoever reads it names the file, nobody gets another value."""

import io
import random
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from ncs.data_loading import Snapshot, TableLoader
from ncs.days import Days
from ncs.errors import DataError
from ncs.lake import damage
from ncs.lake.layout import Lake
from tests.factories import id_layout

TABLE, DAY, ROWS = "gold/ctr_samples", date(2022, 4, 8), 500


@pytest.fixture(scope="module")
def written(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A table as `ncs encode` lays it out: one file, ids that repeat and ids that do not, a label with NaN."""
    lake = Lake.at(str(tmp_path_factory.mktemp("damage")))
    rows = spark.range(ROWS, numPartitions=1).select(
        F.col("id").cast("string").alias("impression_id"),
        (F.col("id") * 7919 % 100_003).cast("int").alias("user_id"),
        (F.col("id") % 9).cast("int").alias("video_id"),
        (F.col("id") % 2).cast("float").alias("clicked"),
        F.when(F.col("id") % 3 == 0, F.lit(float("nan"))).otherwise(F.col("id") / ROWS).cast("float").alias("cvr"),
        F.lit(DAY).alias("day"),
        F.lit("train").alias("split"),
    )
    rows.write.format("delta").partitionBy("day", "split").save(lake.uri(TABLE))
    return lake


@pytest.fixture
def lake(written: Lake, tmp_path: Path) -> Lake:
    """A copy of it."""
    return Lake.at(str(shutil.copytree(written.root, tmp_path / "lake")))


def file_of(lake: Lake) -> Path:
    (path,) = Path(lake.uri(TABLE)).rglob("*.parquet")
    return path


def flip(path: Path, at: int) -> None:
    """Change a bit; Hadoop's own checksum of a local file goes too, which an object store does not have."""
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)
    path.with_name(f".{path.name}.crc").unlink(missing_ok=True)


def page_of(path: Path, column: str) -> int:
    """A place within the values of a column."""
    group = pq.read_metadata(path).row_group(0)
    (chunk,) = (group.column(n) for n in range(group.num_columns) if group.column(n).path_in_schema == column)
    return (chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size // 2


def test_no_changed_bit_gives_another_value(written: Lake) -> None:
    """Bits drawn at random, and every byte of the footer."""
    content = file_of(written).read_bytes()
    whole = pq.ParquetFile(io.BytesIO(content)).read().to_pandas()
    footer = len(content) - pq.read_metadata(io.BytesIO(content)).serialized_size - 8
    random.seed(7)
    places = [random.randrange(footer) for _ in range(400)] + list(range(footer, len(content)))
    errors = 0
    for at in places:
        changed = bytearray(content)
        changed[at] ^= 1 << random.randrange(8)
        stream = io.BytesIO(bytes(changed))
        try:
            parquet = pq.ParquetFile(stream)
            damage.verify(stream, parquet.metadata, list(whole.columns))
            found = parquet.read(list(whole.columns)).to_pandas()
        except (ValueError, OSError, pa.ArrowException):
            errors += 1
        else:
            pd.testing.assert_frame_equal(found, whole)
    assert errors > len(places) / 2


def test_the_feed_names_the_file(lake: Lake) -> None:
    def loader() -> TableLoader:
        snapshot = Snapshot.of(lake, TABLE, 0, Days(DAY, DAY), "train")
        return TableLoader(snapshot, id_layout("user_id", "video_id"), {"ctr": "clicked"}, batch_size=64, shuffle=False)

    users = np.concatenate([batch.features.ids[:, 0].numpy() for batch in loader().epoch(0)])
    assert sorted(users) == sorted(n * 7919 % 100_003 for n in range(ROWS))
    path = file_of(lake)
    flip(path, page_of(path, "cvr"))
    list(loader().epoch(0))  # what is not read is not compared
    flip(path, page_of(path, "user_id"))
    with pytest.raises(DataError, match=rf"{path} is damaged \(the checksum of a page differs\); restore .*`ncs run`"):
        list(loader().epoch(0))


def test_a_table_that_is_read_without_spark_names_the_file(lake: Lake) -> None:
    assert lake.read(TABLE, 0, ["user_id"]).num_rows == ROWS
    path = file_of(lake)
    flip(path, page_of(path, "user_id"))
    remedy = rf"restore the file from a copy, or remove {lake.uri(TABLE)} and run `ncs run`"
    with pytest.raises(DataError, match=rf"{path} is damaged .*; {remedy}"):
        lake.read(TABLE, 0, ["user_id"])


def test_spark_compares_the_checksums_too(spark: SparkSession, lake: Lake) -> None:
    path = file_of(lake)
    flip(path, page_of(path, "user_id"))
    with pytest.raises(Exception, match="FAILED_READ_FILE") as err:
        spark.read.format("delta").load(lake.uri(TABLE)).agg(F.sum("user_id")).collect()
    said = damage.named(err.value)
    assert isinstance(said, DataError)
    assert str(said).startswith(f"{path} is damaged (its checksum differs); restore the file from a copy, or remove ")


def test_other_errors_stay_what_they_are() -> None:
    other, known = ValueError("reading file x.parquet"), DataError("FAILED_READ_FILE reading file x.parquet")
    assert damage.named(other) is other
    spark = ValueError(
        "[FAILED_READ_FILE.NO_HINT] while reading file file:///a%20b/gold/x/part-0.parquet. CRC checksum"
    )
    assert str(damage.named(spark)).startswith("/a b/gold/x/part-0.parquet is damaged (its checksum differs); restore")
    assert damage.named(known) is known
