"""What a command ended with, what it printed, and what it left of a lake."""

import io
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from jobs.cli import main
from ncs.lake.layout import Lake

CODES = (0, 1, 2, 3)
"""The exit codes that are documented; 130, of an interrupt, aside."""
State = Mapping[str, tuple[int, Mapping[str, int]]]
"""Table -> its version, and its rows by day."""


@dataclass(frozen=True)
class Outcome:
    """The exit code of a command, and the lines of its standard error."""

    code: int
    lines: Sequence[str]

    @property
    def said(self) -> str:
        """The message of a failure; of blocked days, with theirs."""
        return "\n".join(self.lines)

    def check(self, stage: str) -> None:
        """Fail unless it is a documented one: its exit code, and one line that a user can act on."""
        assert self.code in CODES, self
        assert "(unexpected" not in self.said, self.said
        assert "Traceback" not in self.said, self.said
        assert "Error:" not in self.said.split("(")[0], f"the name of an exception: {self.said}"
        if self.code in (1, 2):
            blocked = [line for line in self.lines if " blocked: " in line]
            assert len(self.lines) - len(blocked) == 1, self.said
            assert self.lines[0].startswith(f"ncs {stage}: "), self.said
        elif self.code == 3:
            assert self.lines[0].startswith(f"ncs {stage}: "), self.said


def call(stage: str, *args: str) -> Outcome:
    """Run a command in this process."""
    errors = io.StringIO()
    with redirect_stderr(errors), redirect_stdout(io.StringIO()):
        try:
            code = main([stage, "--quiet", *args])
        except SystemExit as stop:  # the parser's own; its last line is the message, the others tell the usage
            return Outcome(int(stop.code or 0), [f"ncs {stage}: {errors.getvalue().splitlines()[-1]}"])
    return Outcome(code, [line for line in errors.getvalue().splitlines() if line.strip()])


def state(lake: Lake, tables: Sequence[str]) -> State:
    """The tables that are there, as they are now."""
    return {name: (lake.version(name), lake.rows_by_day(name)) for name in tables if lake.has(name)}


def files(root: str | Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder: its size, and when it was changed."""
    found = (path for path in Path(root).rglob("*") if path.is_file())
    return {str(path.relative_to(root)): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}
