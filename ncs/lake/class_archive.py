"""Archive the classes that Spark and Delta load, so that Java starts faster: `python -m ncs.lake.class_archive`.

Java then maps thousands of checked classes instead of parsing them from jars each time (class data sharing, JEP 350):
a session that reads and writes a small table takes 12 s instead of 16.
"""

import os
import subprocess
import tempfile
from pathlib import Path

from pyspark import SparkContext
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

from ncs.lake.session import CLASSES
from ncs.values import EXTENSIONS

_OPTIONS = "spark.driver.extraJavaOptions"


def make() -> None:
    """Let a session work on small tables as the stages do, and archive what it has loaded when Java ends."""
    new = CLASSES.with_suffix(".new")
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    for key, value in {**EXTENSIONS, _OPTIONS: f"-XX:ArchiveClassesAtExit={new}"}.items():
        builder = builder.config(key, value)
    with tempfile.TemporaryDirectory() as folder:
        _work(builder.getOrCreate(), folder)
    java = SparkContext._gateway
    assert java is not None
    java.shutdown()
    java.proc.stdin.close()
    java.proc.wait()
    # One that is cut short, of a disk that was full, would end each Java to come.
    subprocess.run(["java", f"-XX:SharedArchiveFile={new}", "-version"], check=True)
    os.replace(new, CLASSES)


def _work(spark: SparkSession, folder: str) -> None:
    """Write, read, join, aggregate and order rows of a Delta table, and let Python see some."""
    spark.sparkContext.setLogLevel("ERROR")
    rows = spark.range(1000).select(
        F.col("id").cast("string").alias("key"), (F.col("id") % 3).alias("day"), F.rand(7).alias("value")
    )
    raw, table = Path(folder, "raw").as_uri(), Path(folder, "table").as_uri()
    rows.write.parquet(raw)
    for _ in range(2):
        writer = spark.read.parquet(raw).write.format("delta").mode("overwrite").partitionBy("day")
        writer.option("replaceWhere", "day in (0, 1, 2)").save(table)
    read = spark.read.format("delta").load(table).persist()
    nth = F.row_number().over(Window.partitionBy("day").orderBy("value"))
    joined = read.withColumn("nth", nth).join(read.groupBy("key").agg(F.sum("value")), "key", "left").where("nth < 9")
    joined.groupBy("day").agg(F.avg("value"), F.count("*")).collect()
    joined.toPandas()


if __name__ == "__main__":
    make()
