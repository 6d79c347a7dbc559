"""Notebooks in Databricks' source format: their cells, and running them one after another in this process."""

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ncs.errors import DataError, NcsError

_HEAD = "# Databricks notebook source\n"
_MAGIC, _MARKDOWN, _INSTALL = "# MAGIC ", "# MAGIC %md", "# MAGIC %pip"


@dataclass(frozen=True)
class Cell:
    """A cell: words in Markdown, or code."""

    text: str
    is_code: bool


@dataclass(frozen=True)
class Ran:
    """A cell and what it left: text that it printed, tables that it displayed, figures that it drew."""

    cell: Cell
    printed: str = ""
    tables: Sequence[Any] = field(default_factory=list)
    figures: Sequence[Figure] = field(default_factory=list)


def cells(path: Path) -> list[Cell]:
    """A notebook's cells. Raises DataError for a file of another format."""
    source = path.read_text(encoding="utf-8")
    if not source.startswith(_HEAD):
        raise DataError(f"{path} is no notebook in Databricks' source format; its first line must be {_HEAD.strip()!r}")
    parts = (part.strip() for part in source.removeprefix(_HEAD).split("# COMMAND ----------"))
    return [_cell(part) for part in parts if part]


def execute(path: Path, names: dict[str, Any]) -> Iterator[Ran]:
    """Run a notebook's cells in one namespace with `display`, as Databricks does; `names` keeps what they leave.

    Figures are closed when the next cell is asked for. Raises DataError with the cell that failed; the project's own
    errors pass as they are.
    """
    plt.close("all")
    for number, cell in enumerate(cells(path), start=1):
        if not cell.is_code:
            yield Ran(cell)
            continue
        tables: list[Any] = []
        names["display"] = tables.append
        with redirect_stdout(io.StringIO()) as printed:
            try:
                exec(compile(cell.text, f"{path.name}, cell {number}", "exec"), names)
            except NcsError:
                raise
            except Exception as err:
                raise DataError(f"{path.name}, cell {number}: {type(err).__name__}: {err}") from err
        yield Ran(cell, printed.getvalue(), tables, [plt.figure(n) for n in plt.get_fignums()])
        plt.close("all")


def _cell(part: str) -> Cell:
    if part.startswith(_INSTALL):  # a cluster installs with it; elsewhere the packages are there
        return Cell(f"On Databricks this comes first: `{part.removeprefix(_MAGIC)}`", is_code=False)
    if not part.startswith(_MARKDOWN):
        return Cell(part, is_code=True)
    lines = [line.removeprefix(_MARKDOWN).removeprefix(_MAGIC).removeprefix("# MAGIC") for line in part.splitlines()]
    return Cell("\n".join(line.strip() if n == 0 else line for n, line in enumerate(lines)), is_code=False)
