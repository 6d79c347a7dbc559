"""One Spark session for all tests of a process, and the configuration that they start from."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow  # noqa: F401  (before torch: the other order has crashed)
import pytest
from pyspark.sql import SparkSession

from ncs import config
from ncs.config import Config
from ncs.lake.layout import Lake
from ncs.lake.session import spark_session

ROOT = Path(__file__).parent.parent
LONGEST = (
    "integration/test_end_to_end.py",
    "jobs/test_lake_life.py",
    "labels/test_time.py",
    "jobs/test_ingest.py",
    "jobs/test_operations.py",
    "jobs/test_evaluate.py",
    "jobs/test_predict.py",
    "evaluation/test_metrics.py",
    "lake/test_upkeep.py",
    "test_security.py",
    "docs/test_site.py",
)
"""Files that take longest, longest first: a process that begins one of them last goes on alone."""

FEW_ROWS = (
    "spark.sql.adaptive.enabled=false",
    "spark.sql.codegen.wholeStage=false",
    "spark.sql.codegen.factoryMode=NO_CODEGEN",
)
"""Plans of a few rows are run by interpretation, each in one job: to compile them, stage by stage, takes longer than
they do. The session of `make test-all`, and every process that a test starts, has the settings of the configuration."""

# Read when torch is loaded: as many test processes as there are cores compute at once.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def load_conf() -> Callable[..., Config]:
    """Load `conf/<name>.yaml` with overrides, as the command line does."""

    def load(*overrides: str, name: str = "demo") -> Config:
        return config.load(ROOT / "conf" / f"{name}.yaml", ["spark.master=local[2]", *overrides])

    return load


@pytest.fixture(scope="session")
def spark(load_conf: Callable[..., Config], pytestconfig: pytest.Config) -> Iterator[SparkSession]:
    quick = FEW_ROWS if "not slow" in pytestconfig.getoption("markexpr") else ()
    session = spark_session(load_conf("spark.sql.shuffle.partitions=2", *quick))
    yield session
    session.stop()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.at(str(tmp_path / "lake"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {str(ROOT / "tests" / name): place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(str(item.path), len(order)))
    for item in items:
        for mark in item.iter_markers("fault"):
            item.user_properties.append(("fault", mark.kwargs["ends"]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of faults: each test injects one, and fails if it ends in any other way than it says."""
    ended = Counter(
        ends if outcome == "passed" else "wrong"
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name, ends in report.user_properties
        if name == "fault"
    )
    if injected := sum(ended.values()):
        counts = "; ".join(f"{ends}: {ended[ends]}" for ends in ("goes on", "clear error", "wrong"))
        terminalreporter.write_line(f"faults injected: {injected}; {counts}")
