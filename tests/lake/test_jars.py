"""Delta's jars beside Spark's own: those of one Delta, and no library twice."""

import re
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import pyspark

from ncs.lake import jars


def test_only_deltas_own_jars_are_copied(tmp_path: Path) -> None:
    cache, folder = tmp_path / "ivy", tmp_path / "jars"
    names = ["io.delta_delta-spark_4.1_2.13-4.4.0.jar", "io.unitycatalog_unitycatalog-client-0.6.0.jar"]
    others = ["com.fasterxml.jackson.core_jackson-core-2.13.5.jar", "commons-logging_commons-logging-1.3.0.jar"]
    for path in (cache, folder):
        path.mkdir()
    for name in names + others:
        (cache / name).write_text(name)
    jars.copy_own(sorted(cache.iterdir()), folder)
    copied = {path.name: path.read_text() for path in folder.iterdir()}
    assert copied == {
        "delta-spark_4.1_2.13-4.4.0.jar": names[0],
        "unitycatalog-client-0.6.0.jar": names[1],
    }


def test_no_library_of_delta_is_there_in_two_versions() -> None:
    installed = [path.name for path in (Path(pyspark.__file__).parent / "jars").glob("*.jar")]
    delta = [name for name in installed if name.startswith("delta-")]
    assert {re.search(r"-(\d[\d.]*)\.jar", name)[1] for name in delta} == {version("delta-spark")}  # type: ignore[index]
    libraries = Counter(re.sub(r"-\d[\d.]*\.jar", "", name) for name in installed)
    assert {name: count for name, count in libraries.items() if count > 1 and name.startswith(("delta", "unity"))} == {}
