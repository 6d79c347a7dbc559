"""Texts: those that are read from files, tables for a terminal, identifiers of SQL."""

import os
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

from ncs.errors import ConfigError


def read_regular(path: str | Path, longest: int) -> bytes:
    """A regular file's bytes, of which there are at most `longest`: nothing that a reader could wait for, as a FIFO.

    Raises OSError that says why it cannot be read.
    """
    if "\0" in str(path):
        raise OSError(None, "no path has a null character")
    # Opened without waiting and asked then: between a look at the name and its opening it could become another file.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(None, "it is no regular file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(longest + 1)
    if len(content) > longest:
        raise OSError(None, f"it has more than {longest:,} bytes")
    return content


def read_text(path: str | Path, longest: int, what: str, remedy: str) -> str:
    """A small UTF-8 file's text, without the mark that may begin it.

    Raises ConfigError that names the file, what it was to be, and the first line that is not UTF-8.
    """
    try:
        content = read_regular(path, longest)
    except OSError as err:
        raise ConfigError(f"no {what} can be read at {path} ({err.strerror}); {remedy}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        line = content[: err.start].count(b"\n") + 1
        raise ConfigError(
            f"{path}, line {line}: not UTF-8, byte 0x{content[err.start]:02x}; convert the file, as with "
            "iconv -f LATIN1 -t UTF-8"
        ) from None


def aligned(lines: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    """Lines of cells, the first of them the header, each column as wide as its widest cell; a rule under the header.

    The columns of `right`, by number, are flush right.
    """
    rows = ["  ".join(cells).rstrip() for cells in _padded(lines, right)]
    rows.insert(1, "-" * max(map(len, rows)))
    return rows


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """The same as a table in Markdown."""
    rows = _padded(lines)
    rows.insert(1, ["-" * len(cell) for cell in rows[0]])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _padded(lines: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[list[str]]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        [
            cell.rjust(width) if n in right else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in lines
    ]


def quoted(identifier: str) -> str:
    """An identifier as Spark SQL writes it, even if it is a word of SQL or has other signs than letters."""
    return f"`{identifier.replace('`', '``')}`"
