"""What else goes wrong under the Spark stages: each ends in one clear line and no half day, and recovers by itself."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobs.cli import main
from tests.faults.conftest import Chains
from tests.faults.crash import Reader, recover
from tests.faults.driver import Driver
from tests.faults.lakes import WRITES, command, rows

pytestmark = pytest.mark.slow

DISK = 24  # MiB


def test_a_log_cut_short_holds_its_day_back_until_it_comes_whole(
    chains: Chains,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chain = chains("redelivered", "encode")
    lake = chain.before("ingest", tmp_path / "lake")
    (log,) = (Path(lake.landing) / "plays" / "day=2022-04-09").iterdir()
    with cut(log):
        assert main(command("ingest", lake)) == 3
        said = capsys.readouterr().err
        assert "2022-04-09" in said
        assert "plays" in said
        Reader(chain, "ingest").look(lake)
        before, after = (rows(each, "bronze/plays") for each in (chain.before("ingest"), chain.done))
        assert rows(lake, "bronze/plays") == {"2022-04-08": after["2022-04-08"], "2022-04-09": before["2022-04-09"]}
    assert recover(chain, "ingest", lake) == (0, 0)


@pytest.mark.parametrize(("stage", "table"), [("label", "bronze/plays"), ("encode", "silver/samples")])
def test_a_task_that_throws_changes_nothing(
    stage: str,
    table: str,
    chains: Chains,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The task's file has been cut short, so that it throws in the midst of the stage; then the file is whole again."""
    chain = chains("redelivered", "encode")
    lake = chain.before(stage, tmp_path / "lake")
    path = Path(sorted(lake.table(table).file_uris())[-1])
    with cut(path):
        assert main(command(stage, lake)) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith(f"ncs {stage}: ")
        reader = Reader(chain, stage)
        reader.look(lake)
        assert not reader.wrong
    assert recover(chain, stage, lake) == (0, 0)


@pytest.mark.parametrize("stage", ["ingest", "label", "encode"])
def test_two_drivers_at_once_end_as_one(stage: str, chains: Chains, tmp_path: Path) -> None:
    chain = chains("redelivered", "encode")
    lake = chain.before(stage, tmp_path / "lake")
    drivers = [Driver(command(stage, lake), tmp_path / f"{n}.log") for n in range(2)]
    for n, driver in enumerate(drivers):
        assert driver.wait() == 0, (tmp_path / f"{n}.log").read_text()
    assert {table: rows(lake, table) for table in WRITES[stage]} == {
        table: rows(chain.after(stage), table) for table in WRITES[stage]
    }
    assert recover(chain, stage, lake) == (0, 0)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("stage", ["ingest", "label", "encode"])
def test_a_full_disk_leaves_the_days_as_they_were(
    stage: str,
    chains: Chains,
    disk: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chain = chains("redelivered", "encode")
    lake = chain.before(stage, disk / "lake")
    ballast = disk / "ballast"
    for left in (2_000, 40_000, 200_000):  # bytes: the disk is full at the first file, and later
        fill(ballast, shutil.disk_usage(disk).free - left)
        code = main(command(stage, lake))
        said = capsys.readouterr().err.strip()
        reader = Reader(chain, stage)
        reader.look(lake)
        ballast.unlink()
        assert not reader.wrong
        if code == 0:
            break
        assert said.startswith(f"ncs {stage}: "), said
        assert len(said.splitlines()) == 1
    assert recover(chain, stage, lake) == (0, 0)


def fill(path: Path, size: int) -> None:
    """Take up so many bytes of a disk."""
    with path.open("wb") as file:
        file.write(bytes(max(size, 0)))


@contextmanager
def cut(path: Path) -> Iterator[None]:
    """A file that lacks its second half, until the block ends."""
    whole = path.read_bytes()
    # Hadoop keeps a sum beside a file that it has written, and would find the damage before the reader of Parquet.
    path.with_name(f".{path.name}.crc").unlink(missing_ok=True)
    path.write_bytes(whole[: len(whole) // 2])
    try:
        yield
    finally:
        path.write_bytes(whole)
