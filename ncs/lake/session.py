"""Spark sessions that can read and write Delta. The only place that builds one; everything else is handed it."""

import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path

import pyspark
from delta import configure_spark_with_delta_pip
from py4j.protocol import Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException, PySparkRuntimeError
from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession

from ncs.config import Config
from ncs.errors import ConfigError
from ncs.values import EXTENSIONS, SESSION

_JAVA = 17
"""The oldest Java that Spark runs on."""
_PATIENCE = 60
"""Seconds that Java may take to say its version."""
CLASSES = Path(pyspark.__file__).parent / "ncs-classes.jsa"
"""Java's archive of the classes of Spark and Delta, where `ncs.lake.class_archive` has made one."""
_ALWAYS = {
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    # Logs may be in more encodings than the six that Spark reads of itself (`logs.encoding`).
    "spark.sql.legacy.javaCharsets": "true",
    # A bit that has changed in a file is an error, and no other value.
    "spark.hadoop.parquet.page.write-checksum.enabled": "true",
    "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
    # Rows that lie together by one of a join's keys are not repartitioned by all of them.
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
_ARCHIVE = "-XX:SharedArchiveFile="
_CODE_CACHE = "-XX:ReservedCodeCacheSize="


def with_code_cache(options: str) -> str:
    """JVM options with room for compiled code, unless they say how much: the first compiler alone reserves 48 MB.

    Spark compiles classes for each query; a JVM whose code cache is full ends in a VirtualMachineError.
    """
    return options if _CODE_CACHE in options else f"{options} {_CODE_CACHE}256m".strip()


def with_classes(options: str, archive: Path = CLASSES) -> str:
    """JVM options with the archive of classes, if there is one; Java goes on without it where it does not fit.

    Not from a folder with a space, which would split the option in two.
    """
    usable = archive.exists() and " " not in str(archive) and _ARCHIVE not in options
    return f"{options} {_ARCHIVE}{archive}" if usable else options


def delta_jars_installed() -> bool:
    """Whether Delta's jars stand beside Spark's own, as `python -m ncs.lake.jars` puts them."""
    jars = Path(pyspark.__file__).parent / "jars"
    return any(jars.glob(f"delta-spark_*-{version('delta-spark')}.jar"))


def spark_session(conf: Config, log: Path | None = None) -> SparkSession:
    """The running session (of a notebook), or a new one with the configuration's settings; spark-submit's own win.

    With `log`, what a new JVM and its Python workers print goes to that file instead of the terminal.

    Raises ConfigError if there is no Java that Spark runs on, it ends at once, or does not know the logs' time zone.
    """
    begins = SparkContext._gateway is None and "PYSPARK_GATEWAY_PORT" not in os.environ
    if begins:
        _check_java()
    # Executors must run this interpreter: another Python on the PATH lacks the packages.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    settings = {**EXTENSIONS, **_ALWAYS, **{key: str(value) for key, value in conf.spark.items()}}
    settings[_JVM_OPTIONS] = with_classes(with_code_cache(settings.get(_JVM_OPTIONS, "")))
    settings |= {**_submitted(), **SESSION}
    if settings.get("spark.master", "").startswith("local"):
        settings = {**_LOCAL, **settings}
    builder = SparkSession.builder.appName("ncs")
    for key, value in settings.items():
        builder = builder.config(key, value)
    if not delta_jars_installed() and SparkSession.getActiveSession() is None:
        builder = configure_spark_with_delta_pip(builder)
    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        PySparkLogger.getLogger(name).setLevel(logging.CRITICAL)  # a line of JSON an error, which is raised as well
    try:
        with _stderr_to(log) if log and SparkContext._gateway is None else nullcontext():
            session = builder.getOrCreate()
            session.sparkContext.setLogLevel("ERROR")
    except PySparkRuntimeError as err:
        if not begins or err.getCondition() != "JAVA_GATEWAY_EXITED":
            raise
        raise ConfigError(_why_java_ended(log)) from None
    _check_zone(session, conf.logs.timezone)
    return session


def _check_zone(session: SparkSession, name: str) -> None:
    """Java has time zones of its own, which may be older than Python's."""
    jvm = session.sparkContext._jvm
    assert jvm is not None
    zones = jvm.java.time.ZoneId
    try:
        zones.of(name, zones.SHORT_IDS)
    except (Py4JJavaError, PySparkException):
        raise ConfigError(
            f"logs.timezone: this Java knows no time zone {name!r}; update Java, or name another"
        ) from None


def _check_java() -> None:
    """Ask Java for its version first: Spark's launcher says nothing of a wrong one, or waits for it for ever."""
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else shutil.which("java")
    named = f"JAVA_HOME is {home!r}: " if home else "JAVA_HOME is not set: "
    remedy = f"set JAVA_HOME to a Java of version {_JAVA} or later, which Spark runs on"
    if java is None:
        raise ConfigError(f"{named}no java on the PATH either; {remedy}")
    try:
        ran = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=_PATIENCE, check=False)
        said = ran.stderr + ran.stdout
    except (OSError, subprocess.SubprocessError) as err:
        raise ConfigError(f"{named}{java} cannot be run ({getattr(err, 'strerror', err)}); {remedy}") from None
    version = re.search(r'version "(?:1\.)?(\d+)', said)
    if ran.returncode or not version:
        raise ConfigError(f"{named}{java} says no version of Java but {said.strip()[:200]!r}; {remedy}")
    if int(version[1]) < _JAVA:
        raise ConfigError(f"{named}{java} is Java {version[1]}; {remedy}")


def _why_java_ended(log: Path | None) -> str:
    lines = log.read_text(errors="replace").splitlines() if log else []
    errors = [line.strip() for line in lines if re.search("error|exception|invalid|unrecognized", line, re.IGNORECASE)]
    said = f" ({errors[0][:200]})" if errors else ""
    where = f"its log is {log}" if log else "see what it has printed"
    return (
        f"Java ended before Spark had started{said}: {where}; look at the spark: settings and the memory that is free"
    )


def _submitted() -> dict[str, str]:
    """The settings of spark-submit, if it started this process: its master is not ours to replace."""
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
