"""A stage is declared once, as `STAGE` of a module of `jobs`.

The command line, `ncs run`, `ncs status`, the test of the bundle and the documentation loop over the declarations.
"""

import importlib
import pkgutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, Literal

import click

import jobs
from ncs.days import Days

if TYPE_CHECKING:
    from jobs.job import Job
    from ncs.config import Config
    from ncs.lake.currency import Wanted


class Group(StrEnum):
    """The purpose of stages; the title under which the command line and the documentation list them."""

    DAILY = "Daily run"
    TRAINING = "Training"
    ANALYSIS = "Analysis and serving"
    UPKEEP = "Upkeep"


@dataclass(frozen=True)
class Daily:
    """How `ncs run` takes a stage; its place follows from the tables that it reads and writes."""

    by_day: bool = False
    """Whether it works on days, which a backfill brings up to date too; else it waits until no day is blocked."""
    gate: Literal["days", "tables"] | None = None
    """Whether what it has written is validated: days that are bad alone are blocked, or the whole run."""
    days: "Callable[[Job], Days] | None" = None
    """The days that it works on, where these are more than the job's."""
    when: "Callable[[Config], bool]" = lambda conf: True
    """Whether the configuration asks for it."""


@dataclass(frozen=True)
class Stage:
    """A command of `ncs`. Its module imports what does the work when it runs: all are imported for `ncs --help`."""

    name: str
    help: str
    """One line, for the list of the stages."""
    details: str
    """Its help text: its module's docstring."""
    group: Group
    run: Callable[..., None]
    """Called with the job, and the values of `arguments` by name."""
    examples: tuple[str, ...]
    arguments: tuple[click.Parameter, ...] = ()
    """The arguments of this stage alone; a `KeyOption` sets a key of the configuration instead."""
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    """Tables; `names.LANDING` and `names.MODELS` are the folders beside them."""
    daily: Daily | None = None
    """None: it is no part of `ncs run`."""
    wanted: "Callable[[Job], Mapping[str, Wanted]] | None" = None
    """Table -> the provenance that its partitions would have now, for `ncs status` to compare with their commits'."""

    @property
    def needs_lake(self) -> bool:
        """Whether there is nothing to do where no lake is: only stages that fill one begin it."""
        return self.group in (Group.ANALYSIS, Group.UPKEEP)

    def main(self) -> None:
        """Run as a program of its own, `spark-submit jobs/<name>.py ...`."""
        from jobs.cli import command

        sys.argv.insert(1, self.name)
        command()


class KeyOption(click.Option):
    """An option that stands for a key of the configuration."""

    def __init__(self, flag: str, key: str, template: str = "{}", **more: Any) -> None:
        """Act like `--set KEY=VALUE`, with the value put into the template."""
        super().__init__([flag], **more)
        self.key, self.template = key, template


def worker_options(hidden: bool = False) -> tuple[KeyOption, ...]:
    """How many workers train, and where; every stage takes them, those that train show them."""
    return (
        KeyOption("--workers", "workers", type=int, metavar="N", help="Training processes.", hidden=hidden),
        KeyOption("--launcher", "launch.launcher", metavar="NAME", help="What starts them.", hidden=hidden),
        KeyOption("--hosts", "launch.hosts", metavar="A:4,B:4", help="Where, on all of these slots.", hidden=hidden),
    )


def model_option() -> click.Option:
    """Which kept model is meant, where it is not the newest run's."""
    return click.Option(["--model"], metavar="M", help="champion, candidate or RUN_ID/MODEL (default: the newest run).")


def comparison_options() -> tuple[KeyOption, ...]:
    """What is compared."""
    listed: dict[str, Any] = {"key": "compare.models", "template": "[{}]"}
    return (
        KeyOption("--models", metavar="A,B", help="Models of the catalogue, or all.", **listed),
        KeyOption("--systems", hidden=True, **listed),  # what they were called before
        KeyOption("--seeds", "compare.seeds", type=int, metavar="N", help="Runs of each."),
    )


def stages() -> dict[str, Stage]:
    """The stages by name, those of `ncs run` first and in its order."""
    declared: dict[str, Stage] = {}
    for module in pkgutil.iter_modules(jobs.__path__):
        if not module.ispkg:
            stage = vars(importlib.import_module(f"jobs.{module.name}")).get("STAGE")
            if isinstance(stage, Stage):
                declared[stage.name] = stage
    writers = {table: stage.name for stage in declared.values() if stage.daily for table in stage.writes}
    daily = {
        stage.name: {writers[table] for table in stage.reads if table in writers} - {stage.name}
        for stage in declared.values()
        if stage.daily
    }
    order = [*TopologicalSorter(daily).static_order(), *declared]
    return {name: declared[name] for name in order}


def daily_flow(by_day: bool | None = None) -> list[Stage]:
    """The stages of `ncs run` in order; `by_day`: those alone that work on days, or that do not."""
    return [stage for stage in stages().values() if stage.daily and by_day in (None, stage.daily.by_day)]
