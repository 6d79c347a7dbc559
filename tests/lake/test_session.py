"""Starting Spark: its settings, and what is said of a Java that it cannot run on."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from ncs.config import Config
from ncs.errors import ConfigError
from ncs.lake.session import CLASSES, spark_session, with_classes, with_code_cache
from ncs.values import SESSION
from tests.factories import ROOT

START = """
import sys
from pathlib import Path
from ncs import config
from ncs.errors import ConfigError
from ncs.lake.session import spark_session, with_code_cache
try:
    spark_session(config.load("conf/demo.yaml"), Path(sys.argv[1]))
except ConfigError as err:
    print(err)
"""
JAVA = {
    "none": (None, r"/bin/java cannot be run \(No such file or directory\); set JAVA_HOME to a Java of version 17"),
    "old": ("""echo 'java version "1.8.0_392"' >&2""", "/bin/java is Java 8; set JAVA_HOME to a Java of version 17"),
    "silent": ("exit 0", "says no version of Java but ''"),
    "ends": (
        """[ "$1" = -version ] && echo 'openjdk version "17.0.1"' && exit 0; echo 'Error: no room' >&2; exit 1""",
        r"Java ended before Spark had started \(Error: no room\): its log is .*spark\.log",
    ),
}


@pytest.mark.parametrize("case", JAVA)
def test_a_java_that_spark_cannot_run_on_is_named(tmp_path: Path, case: str) -> None:
    script, message = JAVA[case]
    java = tmp_path / "bin" / "java"
    if script:
        java.parent.mkdir()
        java.write_text(f"#!/bin/sh\n{script}\n")
        java.chmod(0o755)
    ran = subprocess.run(
        [sys.executable, "-c", START, str(tmp_path / "spark.log")],
        env={**os.environ, "JAVA_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.stderr == ""
    (line,) = ran.stdout.splitlines()
    assert re.search(message, line), line


def test_a_session_reads_times_without_a_zone_as_utc(spark: SparkSession, load_conf: Callable[..., Config]) -> None:
    """A notebook's session, say, which has a zone of its own."""
    spark.conf.set("spark.sql.session.timeZone", "Asia/Shanghai")
    session = spark_session(load_conf("spark.sql.shuffle.partitions=2"))
    assert session.conf.get("spark.sql.session.timeZone") == "UTC"
    row = session.sql("SELECT unix_seconds(timestamp '2022-04-08 00:00:00') AS seconds").first()
    assert row is not None
    assert row.seconds == 1649376000


def test_a_session_leaves_no_file_out_and_replaces_tables_whole(
    spark: SparkSession, load_conf: Callable[..., Config]
) -> None:
    for name, value in SESSION.items():
        spark.conf.set(name, {"true": "false", "false": "true", "static": "dynamic"}.get(value, value))
    session = spark_session(load_conf("spark.sql.shuffle.partitions=2"))
    assert {name: session.conf.get(name) for name in SESSION} == SESSION


def test_a_zone_that_java_does_not_know_is_named(spark: SparkSession, load_conf: Callable[..., Config]) -> None:
    with pytest.raises(ConfigError, match=r"logs\.timezone: this Java knows no time zone 'ROC'; update Java"):
        spark_session(load_conf("spark.sql.shuffle.partitions=2", "logs.timezone=ROC"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", "-XX:ReservedCodeCacheSize=256m"),
        ("-XX:TieredStopAtLevel=1", "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m"),
        ("-XX:ReservedCodeCacheSize=64m -Xss4m", "-XX:ReservedCodeCacheSize=64m -Xss4m"),
    ],
)
def test_a_jvm_has_room_for_compiled_code_unless_it_is_told_how_much(options: str, expected: str) -> None:
    assert with_code_cache(options) == expected


def test_java_reads_the_archive_of_classes_where_there_is_one(spark: SparkSession, tmp_path: Path) -> None:
    archive, apart = tmp_path / "classes.jsa", tmp_path / "a folder" / "classes.jsa"
    assert with_classes("-Xss4m", archive) == "-Xss4m"
    apart.parent.mkdir()
    for path in (archive, apart):
        path.write_bytes(b"")
    assert with_classes("-Xss4m", archive) == f"-Xss4m -XX:SharedArchiveFile={archive}"
    assert with_classes("-XX:SharedArchiveFile=own.jsa", archive) == "-XX:SharedArchiveFile=own.jsa"
    assert with_classes("-Xss4m", apart) == "-Xss4m"  # a space would part the option
    said = spark.sparkContext.getConf().get("spark.driver.extraJavaOptions") or ""
    assert (str(CLASSES) in said) == CLASSES.exists()


def test_java_goes_on_without_an_archive_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "classes.jsa").write_text("none")
    ran = subprocess.run(["java", *with_classes("", tmp_path / "classes.jsa").split(), "-version"], capture_output=True)
    assert ran.returncode == 0
