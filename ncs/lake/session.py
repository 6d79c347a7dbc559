"""Spark sessions that can read and write Delta. The only place that builds one; everything else is handed it."""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path

import pyspark
from delta import configure_spark_with_delta_pip
from pyspark import SparkConf, SparkContext
from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession

from ncs.config import Config

_DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
_ALWAYS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # A bit that has changed in a file is an error, and no other value.
    "spark.hadoop.parquet.page.write-checksum.enabled": "true",
    "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
    # Rows that lie together by one of a join's keys are not dealt out again by all of them.
    "spark.sql.requireAllClusterKeysForCoPartition": "false",
    # Nearly every click has its impression: looking for those that have none first costs more than it saves.
    "spark.sql.optimizer.runtime.bloomFilter.enabled": "false",
    # What labelling holds is read two or three times: finding each column's best encoding costs more than it saves.
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    # A day's stages compile to more classes than the 100 that Spark keeps: each day would compile them all again.
    "spark.sql.codegen.cache.maxEntries": "1000",
}
_LOCAL = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.warehouse.dir": os.path.join(tempfile.gettempdir(), "ncs-warehouse"),
}


_JVM_OPTIONS = "spark.driver.extraJavaOptions"
_CODE_CACHE = "-XX:ReservedCodeCacheSize="


def with_code_cache(options: str) -> str:
    """JVM options with room for compiled code, unless they say how much: the first compiler alone reserves 48 MB.

    Spark compiles classes for each query; a JVM whose code cache is full ends in a VirtualMachineError.
    """
    return options if _CODE_CACHE in options else f"{options} {_CODE_CACHE}256m".strip()


def delta_jars_installed() -> bool:
    """Whether Delta's jars stand beside Spark's own, as `python -m ncs.lake.jars` puts them."""
    jars = Path(pyspark.__file__).parent / "jars"
    return any(jars.glob(f"delta-spark_*-{version('delta-spark')}.jar"))


def spark_session(conf: Config, log: Path | None = None) -> SparkSession:
    """The running session (of a notebook), or a new one with the configuration's settings; spark-submit's own win.

    With `log`, what a new JVM and its Python workers print goes to that file instead of the terminal.
    """
    # Executors must run this interpreter: another Python on the PATH lacks the packages.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = {**_DELTA, **_ALWAYS, **{key: str(value) for key, value in conf.spark.items()}}
    settings[_JVM_OPTIONS] = with_code_cache(settings.get(_JVM_OPTIONS, ""))
    settings |= _submitted()
    if settings.get("spark.master", "").startswith("local"):
        settings = {**_LOCAL, **settings}
    builder = SparkSession.builder.appName("ncs")
    for key, value in settings.items():
        builder = builder.config(key, value)
    if not delta_jars_installed() and SparkSession.getActiveSession() is None:
        builder = configure_spark_with_delta_pip(builder)
    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        PySparkLogger.getLogger(name).setLevel(logging.CRITICAL)  # a line of JSON an error, which is raised as well
    with _stderr_to(log) if log and SparkContext._gateway is None else nullcontext():
        session = builder.getOrCreate()
        session.sparkContext.setLogLevel("ERROR")
    return session


def _submitted() -> dict[str, str]:
    """What spark-submit was told, where it has started this process: its master is not ours to replace."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        return {}
    SparkContext._ensure_initialized()
    return dict(SparkConf().getAll())


@contextmanager
def _stderr_to(log: Path) -> Iterator[None]:
    """Let processes that are started meanwhile inherit a file as their standard error."""
    own = os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(own, 2)
            os.close(own)
