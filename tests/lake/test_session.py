"""What a Spark session is set to, whoever has begun it."""

from collections.abc import Callable

from pyspark.sql import SparkSession

from ncs.config import Config
from ncs.lake.session import spark_session


def test_a_session_reads_times_without_a_zone_as_utc(spark: SparkSession, load_conf: Callable[..., Config]) -> None:
    """A notebook's session, say, which has a zone of its own."""
    spark.conf.set("spark.sql.session.timeZone", "Asia/Shanghai")
    session = spark_session(load_conf("spark.sql.shuffle.partitions=2"))
    assert session.conf.get("spark.sql.session.timeZone") == "UTC"
    row = session.sql("SELECT unix_seconds(timestamp '2022-04-08 00:00:00') AS seconds").first()
    assert row is not None
    assert row.seconds == 1649376000
