"""What import-linter (`setup.cfg`) cannot say of the sources."""

from pathlib import Path

from tests.factories import ROOT


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


def test_torch_distributed_is_behind_one_module() -> None:
    found = [path.name for path in sources("ncs", "jobs", "validation") if "dist." in path.read_text()]
    assert found == ["distributed.py"]


def test_files_stay_small() -> None:
    long = {
        str(path.relative_to(ROOT)): n
        for path in sources("ncs", "jobs", "validation")
        if (n := len(path.read_text().splitlines())) > 300
    }
    assert not long
