"""The two halves stay apart, and each dependency behind its own door."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.factories import ROOT

TRAINING = [
    "ncs.data_loading",
    "ncs.nets.model",
    "ncs.methods.search",
    "ncs.runs.run",
    "ncs.runs.predictor",
    "ncs.serving.export",
    "jobs.train",
    "jobs.export",
]
SPARK = ["ncs.lake.writer", "ncs.labels.join", "ncs.features.encoding", "ncs.evaluation.scoring", "ncs.logs.synthetic"]
SPARK += ["ncs.logs.source", "ncs.evaluation.metrics", "ncs.evaluation.report", "jobs.label", "jobs.encode"]


@pytest.mark.parametrize(("half", "foreign"), [(TRAINING, "pyspark"), (SPARK, "torch")], ids=["training", "spark"])
def test_no_half_imports_the_other(half: list[str], foreign: str) -> None:
    code = f"import sys, {', '.join(half)}; print({foreign!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.strip() == "False", done.stderr


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


def test_horovod_is_behind_one_module() -> None:
    found = [
        path for path in sources("ncs", "jobs", "validation") if re.search(r"hvd|import horovod", path.read_text())
    ]
    # Within Spark, Horovod starts its workers by a call and not by a program: that call is a job's.
    assert sorted(str(path.relative_to(ROOT)) for path in found) == [
        "jobs/spark_workers.py",
        "ncs/training/cluster/horovod.py",
    ]


def test_torch_distributed_is_behind_one_module() -> None:
    found = [path.name for path in sources("ncs", "jobs", "validation") if "dist." in path.read_text()]
    assert found == ["distributed.py"]


def test_data_goes_one_way() -> None:
    """`ncs` calls neither jobs nor validation; validation calls no job."""
    for path in sources("ncs"):
        assert not any(line.startswith(("from jobs", "import jobs", "from validation")) for line in path.open()), path
    for path in sources("validation"):
        assert not any(line.startswith(("from jobs", "import jobs")) for line in path.open()), path


def test_files_stay_small() -> None:
    long = {
        str(path.relative_to(ROOT)): n
        for path in sources("ncs", "jobs", "validation")
        if (n := len(path.read_text().splitlines())) > 300
    }
    assert not long
