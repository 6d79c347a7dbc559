"""What mkdocs makes while it builds: the data dictionary from the tables, the commands from the declared stages."""

import posixpath

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from jobs.cli import command_line
from jobs.stage import Group, Stage, stages
from ncs.lake.tables import TABLES
from ncs.lake.tables.table import Table

_HEAD = """# Data dictionary

Every table of a lake is a Delta table below its root. This page is made of `ncs/lake/tables` when the site is built,
and a test compares them with the tables that the stages write.
"""


_WORKER = "https://unpkg.com/iframe-worker/shim"
_COMMANDS = """This page is made of the declarations in `jobs/` when the site is built. Every stage exits with 0 on
success, 2 for bad usage or configuration, 3 when data quality blocks days or the run, 130 when it is interrupted, and 1
for any other error. `NCS_CONF` and `NCS_LAKE` stand in for `--conf` and `--lake`; every stage takes `--workers`,
`--launcher` and `--hosts` too, which are short for keys of the configuration. Completion of stages, options and files:
`eval "$(_NCS_COMPLETE=bash_source ncs)"`, or `zsh_source`, `fish_source`.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages to those that stand in docs/."""
    files.append(File.generated(config, "dictionary.md", content=dictionary()))
    files.append(File.generated(config, "commands.md", content=commands()))
    return files


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """The page with the site's own script for a search without a server; the theme names one on another host."""
    own = posixpath.relpath("javascripts/worker.js", posixpath.dirname(page.file.dest_uri) or ".")
    return output.replace(_WORKER, own)


def on_post_template(output_content: str, template_name: str, config: MkDocsConfig) -> str:
    """The page of a missing page, which a server shows at any depth."""
    return output_content.replace(_WORKER, "/javascripts/worker.js")


def commands() -> str:
    """The stages by group, what each reads and writes, and the help of each, in Markdown."""
    groups = [(group, [stage for stage in stages().values() if stage.group is group]) for group in Group]
    lines = ["# Commands", "", _COMMANDS]
    for group, declared in groups:
        lines += [f"## {group}", "", "| stage | | reads | writes |", "|---|---|---|---|", *map(_row, declared), ""]
    for _, declared in groups:
        for stage in declared:
            lines += [f"## ncs {stage.name}", "", "```text", _help(stage), "```", ""]
    return "\n".join(lines)


def _row(stage: Stage) -> str:
    reads, writes = (", ".join(f"`{table}`" for table in tables) for tables in (stage.reads, stage.writes))
    return f"| [`{stage.name}`](#ncs-{stage.name}) | {stage.help} | {reads} | {writes} |"


def _help(stage: Stage) -> str:
    """What `ncs <stage> --help` prints."""
    line = click.Context(command_line(), info_name="ncs")
    command = command_line().commands[stage.name]
    return command.get_help(click.Context(command, info_name=stage.name, parent=line))


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
