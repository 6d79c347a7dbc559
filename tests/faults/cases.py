"""Run a folder of odd inputs and print what each ends with.

    python -m tests.faults.cases FOLDER [NAME ...] [--stage STAGE]

STAGE is what the logs of `bad_inputs` go through, by default backfill; ingest alone takes a few seconds a case.

FOLDER holds `small.yaml`, a folder for each case with a `make.py` that writes its logs, and `bad_inputs/land.py`, whose
`CASES` each write two days of logs. All cases share one Spark session; each has a lake of its own.
"""

import argparse
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from types import ModuleType

from jobs.cli import main

Case = tuple[str, Callable[[], tuple[int, str]]]
"""Its name, and what runs it: the exit code, and the message, or the last line that was printed."""

WEEK = "2026-05-04..2026-05-08"
LABELS = ("clicked", "watched_seconds", "cvr")


def ncs(*args: str) -> tuple[int, str]:
    """Run a command line in this process. Returns its exit code and its message, or the last line that it printed."""
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        try:
            code = main(args)
        except SystemExit as stop:  # the parser's own
            code = int(stop.code or 0)
    lines = [line for line in printed.getvalue().splitlines() if line.strip()]
    said = next((number for number, line in enumerate(lines) if line.startswith("ncs ")), len(lines) - 1)
    return code, " | ".join(lines[max(said, 0) :])  # after the message the blocked days' reasons


def small(folder: Path, place: Path, *args: str, command: str = "run") -> tuple[int, str]:
    """A command with `small.yaml` on the logs of a place."""
    return ncs(command, *args, "--conf", str(folder / "small.yaml"), "--set", f"logs.source={place / 'logs'}")


def make(folder: Path, place: Path, *args: str) -> None:
    """Write the logs of a case."""
    subprocess.run([sys.executable, str(folder / "make.py"), str(place / "logs"), *args], check=True, cwd=folder)


def whole(folder: Path, place: Path) -> None:
    """Write logs in which nothing is odd."""
    code = "import sys; from logs import frames, write; write(frames(), sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(place / "logs")], check=True, cwd=folder)


def cases_of(folder: Path, place: Path) -> Iterator[Case]:
    """The cases that have a folder of their own."""
    lake = str(place / "lake")

    def dst_window() -> tuple[int, str]:
        make(folder / "dst_window", place)
        days = "2026-03-27..2026-03-30"
        zone = ["--set", f"logs.days={days}", "--set", "logs.timezone=Europe/Berlin"]
        return small(folder, place, days, *zone, "--lake", lake, command="backfill")

    def encoding() -> tuple[int, str]:
        own = shutil.copytree(folder / "encoding", place / "encoding")
        subprocess.run([sys.executable, "make.py"], check=True, cwd=own)
        conf = ["--conf", str(own / "conf.yaml"), "--set", f"logs.source={own / 'logs'}"]
        return ncs("ingest", *conf, "--lake", lake)

    def names(name: str) -> Callable[[], tuple[int, str]]:
        def run() -> tuple[int, str]:
            make(folder / "field_names", place, name)
            conf = place / "conf.yaml"
            conf.write_text((folder / "field_names" / "conf.yaml").read_text().replace("_device", name))
            return ncs("run", "--conf", str(conf), "--set", f"logs.source={place / 'logs'}", "--lake", lake)

        return run

    def label_as_feature(name: str) -> Callable[[], tuple[int, str]]:
        def run() -> tuple[int, str]:
            whole(folder, place)
            field = "{side: context, encode: buckets}"
            return small(folder, place, "--set", f"fields.{name}={field}", "--lake", lake)

        return run

    def label_range() -> tuple[int, str]:
        whole(folder, place)
        task = "tasks.sec={label: watched_seconds, loss: squared_error, metric: mse}"
        return small(folder, place, WEEK, "--set", task, "--lake", lake, command="backfill")

    def new_column() -> tuple[int, str]:
        make(folder / "new_column", place)
        days = "2026-05-04..2026-05-10"
        return small(folder, place, days, "--set", f"logs.days={days}", "--lake", lake, command="backfill")

    def path(name: str) -> Callable[[], tuple[int, str]]:
        def run() -> tuple[int, str]:
            whole(folder, place)
            return small(folder, place, "--lake", str(place / name))

        return run

    def slate_ids() -> tuple[int, str]:
        make(folder / "slate_ids", place)
        return small(folder, place, WEEK, "--lake", lake, command="backfill")

    def type_drift() -> tuple[int, str]:
        make(folder / "type_drift", place, "1")
        small(folder, place, "--lake", lake, command="ingest")
        make(folder / "type_drift", place, "2")
        return small(folder, place, "--lake", lake, command="ingest")

    def deletion_vectors() -> tuple[int, str]:
        whole(folder, place)
        small(folder, place, "--lake", lake)
        # Not a process of its own: the session that deletes has to see the lake that this one wrote.
        with redirect_stdout(io.StringIO()):
            argv, sys.argv = sys.argv, ["delete.py", lake]
            try:
                load(folder / "deletion_vectors" / "delete.py")
            finally:
                sys.argv = argv
        shutil.rmtree(Path(lake) / "models")
        return small(folder, place, "--lake", lake, command="train")

    yield "dst_window", dst_window
    yield "encoding", encoding
    yield from ((f"field_names {name}", names(name)) for name in ("_device", "class", "None"))
    yield from ((f"label_as_feature {name}", label_as_feature(name)) for name in LABELS)
    yield "label_range", label_range
    yield "new_column", new_column
    yield from ((f"path_with_space {name}", path(name)) for name in ("my lake", "数据", "a#b", "a b#数据 %25"))
    yield "slate_ids", slate_ids
    yield "type_drift", type_drift
    yield "deletion_vectors", deletion_vectors


def bad_inputs(folder: Path, place: Path, stage: str) -> Iterator[Case]:
    """Configurations, and two days of odd logs each."""
    conf = folder / "land.yaml"
    for path in sorted(folder.glob("*.yaml")):
        if path != conf:
            yield f"bad_inputs {path.name}", lambda path=path: configured(folder, place, path)
    land = load(folder / "land.py")
    for name, write in land.CASES.items():

        def run(name: str = name, write: Callable[[Path], object] = write) -> tuple[int, str]:
            os.chdir(place)
            write(land.base("x"))
            return land_days(stage, conf, place)

        yield f"bad_inputs {name}", run


def configured(folder: Path, place: Path, path: Path) -> tuple[int, str]:
    """A configuration of the folder, on logs in which nothing is odd."""
    os.chdir(place)
    load(folder / "land.py").base("o_baseline")
    return land_days("backfill", path, place)


def land_days(stage: str, conf: Path, place: Path) -> tuple[int, str]:
    """A stage on the two days of `bad_inputs`."""
    days = ["2022-04-08..2022-04-09"] if stage == "backfill" else ["--days", "2022-04-08..2022-04-09"]
    return ncs(stage, *days, "--conf", str(conf), "--lake", str(place / "lake"))


def load(path: Path) -> ModuleType:
    """A Python file of the folder as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_all(folder: Path, only: list[str], stage: str) -> None:
    """Print a line for each case: its exit code, its name, what it said."""
    for source in (cases_of, partial(bad_inputs, stage=stage)):
        with tempfile.TemporaryDirectory() as root:
            place = Path(root)
            own = folder if source is cases_of else folder / "bad_inputs"
            for number, (name, run) in enumerate(source(own, place / "case")):
                if only and not any(name.startswith(start) for start in only):
                    continue
                shutil.rmtree(place / "case", ignore_errors=True)
                (place / "case").mkdir()
                try:
                    code, last = run()
                except Exception as err:
                    code, last = -1, f"{type(err).__name__}: {err}"
                os.chdir(folder)
                print(f"{number:>4}  {code:>3}  {name:<42}  {last[:400]}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--stage", default="backfill")
    args = parser.parse_args()
    run_all(args.folder.resolve(), args.names, args.stage)
