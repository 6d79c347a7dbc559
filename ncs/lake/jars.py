"""Fetch Delta's jars once and put them beside Spark's own: `python -m ncs.lake.jars`.

Sessions then start at once and without a network, instead of asking a registry each time.
"""

import shutil
from pathlib import Path

import pyspark
from delta import configure_spark_with_delta_pip
from pyspark.sql import SparkSession

from ncs.lake.session import delta_jars_installed


def install() -> None:
    """Resolve delta-spark's jars and copy them into pyspark's folder of jars."""
    if delta_jars_installed():
        return
    session = configure_spark_with_delta_pip(SparkSession.builder.master("local[1]")).getOrCreate()
    try:
        for jar in session.sparkContext.getConf().get("spark.jars", "").split(","):
            path = Path(jar.removeprefix("file://"))
            # Ivy's copies carry their group before the name: io.delta_delta-spark_2.13-4.0.1.jar
            shutil.copy(path, Path(pyspark.__file__).parent / "jars" / path.name.partition("_")[2])
    finally:
        session.stop()


if __name__ == "__main__":
    install()
