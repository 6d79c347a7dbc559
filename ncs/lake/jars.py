"""Fetch Delta's jars once and put them beside Spark's own: `python -m ncs.lake.jars`.

Sessions then start at once and without a network, instead of asking a registry each time.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pyspark
from delta import configure_spark_with_delta_pip
from pyspark.sql import SparkSession

from ncs.lake.session import delta_jars_installed

_OWN = ("io.delta", "io.unitycatalog")
"""Groups of Delta's jars."""


def install() -> None:
    """Resolve delta-spark's jars and copy its own into pyspark's folder of jars."""
    if delta_jars_installed():
        return
    folder = Path(pyspark.__file__).parent / "jars"
    for other in (path for pattern in ("delta-*.jar", "unitycatalog-[ch]*.jar") for path in folder.glob(pattern)):
        other.unlink()  # of another Delta: neither pip nor uv knows of them, so they outlive its removal
    session = configure_spark_with_delta_pip(SparkSession.builder.master("local[1]")).getOrCreate()
    try:
        resolved = session.sparkContext.getConf().get("spark.jars", "").split(",")
        copy_own([Path(jar.removeprefix("file://")) for jar in resolved], folder)
    finally:
        session.stop()


def copy_own(jars: Sequence[Path], folder: Path) -> None:
    """Copy Delta's own jars out of Ivy's cache.

    It depends on Jackson, Parquet and others too, in versions of its own: Spark has them, and a class path with two
    versions of one library is in no order.
    """
    for path in jars:
        group, _, name = path.name.partition("_")  # as in io.delta_delta-spark_4.1_2.13-4.4.0.jar
        if group in _OWN:
            shutil.copy(path, folder / name)


if __name__ == "__main__":
    install()
