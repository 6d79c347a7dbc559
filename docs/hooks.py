"""What mkdocs makes while it builds: the data dictionary, from the table schemas."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from ncs.lake.tables import TABLES
from ncs.lake.tables.table import Table

_HEAD = """# Data dictionary

Every table of a lake is a Delta table below its root. This page is made of `ncs/lake/tables` when the site is built,
and a test compares them with the tables that the stages write.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to those that stand in docs/."""
    files.append(File.generated(config, "dictionary.md", content=dictionary()))
    return files


def dictionary() -> str:
    """The data dictionary, in Markdown."""
    return "\n".join([_HEAD, *map(section, TABLES.values())])


def section(table: Table) -> str:
    """The part of the dictionary that is about one table."""
    parted = f", partitioned by {', '.join(f'`{column}`' for column in table.partition)}" if table.partition else ""
    lines = [f"## {table.name}", "", f"{table.comment}. Written by `ncs {table.stage}`{parted}."]
    lines += ["", "| column | type | |", "|---|---|---|"]
    lines += [f"| `{column}` | {one.type} | {one.comment} |" for column, one in table.columns.items()]
    return "\n".join([*lines, *(["", f"Further columns: {table.rest}."] if table.rest else []), ""])
