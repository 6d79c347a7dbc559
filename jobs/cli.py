"""The command line: `ncs <stage> --conf FILE`, and the `main` of every `jobs/<stage>.py`.

Nothing heavy is imported before a stage is to run, so that help and completion come at once.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
from click.shell_completion import CompletionItem

from jobs.interrupt import is_interrupt
from jobs.job import Job
from jobs.stage import Group, KeyOption, Stage, stages, worker_options
from ncs.days import Days
from ncs.errors import BlockedDaysError, ConfigError, DataError, NcsError, root_cause
from ncs.threads import leave


@dataclass(frozen=True)
class Call:
    """A command line that was understood: the stage, the values of its parameters, keys of the configuration."""

    stage: Stage
    values: Mapping[str, Any]
    keys: tuple[str, ...]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage. Returns 0 on success, 2 for bad usage or configuration, 3 for a failed gate, else 1.

    Help and usage errors end the process, as argument parsers do.
    """
    call = parse(argv)
    job = None
    os.umask(os.umask(0) | 0o022)  # nothing that is written, by Spark's JVM too, is for others to change
    try:
        job = make_job(call)
        own = {param.name: call.values[param.name] for param in call.stage.arguments if _is_own(param)}
        call.stage.run(job, **own)
        job.check_blocked()
    except BaseException as err:
        if is_interrupt(err):
            print("ncs: stopped; the same command goes on from here", file=sys.stderr)
            _name_blocked_days(job)
            return 130
        from ncs.lake import damage
        from ncs.values import redact

        debug = call.values["debug"]
        # A panic of delta-rs is no Exception to Python, and would end in a stack trace.
        known = isinstance(err, Exception) or type(err).__name__ == "PanicException"
        if isinstance(err, Exception) and not debug:
            err = damage.named(err)
        if known and not debug:
            print(f"ncs {call.stage.name}: {redact(_message(err))}", file=sys.stderr)
        if known and not isinstance(err, BlockedDaysError):  # which names them itself
            _name_blocked_days(job)
        if debug or not known:
            raise
        return err.exit_code if isinstance(err, NcsError) else 1
    return 0


def command() -> None:
    """The installed command, and the task of a Databricks wheel.

    The latter runs in a process that goes on, and takes anything but an exception for success.
    """
    code = main()
    if "DATABRICKS_RUNTIME_VERSION" not in os.environ:
        leave(code)
    if code:
        sys.exit(code)


def parse(argv: Sequence[str] | None = None) -> Call:
    """Understand a command line, by default the process's. Help and usage errors (2) end the process."""
    try:
        call = command_line().main(args=argv and list(argv), prog_name="ncs", standalone_mode=False)
    except click.ClickException as err:
        err.show()
        raise SystemExit(err.exit_code) from None
    if not isinstance(call, Call):
        raise SystemExit(call or 0)
    return call


def make_job(call: Call) -> Job:
    """The job that a stage works on. Raises ConfigError, and DataError where a lake is needed and there is none."""
    from ncs import config
    from ncs.lake import storage
    from ncs.lake.layout import Lake
    from ncs.lake.windows import close_days
    from ncs.values import CREDENTIALS

    values = call.values
    if CREDENTIALS.search(values["lake"] or ""):
        raise ConfigError("--lake: credentials do not belong into a URI; give them to the store's client (environment)")
    conf = config.load(values["conf"], [*values["set"], *call.keys])
    lake = Lake.at(values["lake"] or os.path.join("lake", conf.name))
    if os.path.exists(lake.root) and not os.path.isdir(lake.root):
        raise ConfigError(f"--lake: {lake.root} is no folder; name one, or a path where there is nothing yet")
    conf = close_days(conf, lake)
    given = Days.parse(values["days"]) if values["days"] else None
    if given and given.is_open:  # up to the last day that there is
        days = [day for day in conf.logs.days if day in given]
        if not days:
            raise ConfigError(f"--days {given} is after the last day of logs.days, {conf.logs.days.last}")
        given = Days.of(days)
    job = Job(
        conf=conf,
        lake=lake,
        days=given or conf.logs.days,
        days_given=given is not None,
        until=given.last if given else None,
        quiet=values["quiet"],
        debug=values["debug"],
        parallel=values.get("parallel", 1),
    )
    if call.stage.needs_lake and not storage.exists(job.lake.root):
        raise DataError(f"there is no lake at {job.lake.root}; name one with --lake, or make it with `ncs run`")
    job.lake.bind(conf, fills=not call.stage.needs_lake)
    try:
        job.place_window()
    except DataError:
        if call.stage.group is Group.TRAINING:  # others may bring the day that is missing, or need no window
            raise
    return job


class CommandLine(click.Group):
    """All stages, by group."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the stages under their groups' titles."""
        width = max(map(len, self.commands))
        for group in Group:
            listed = [(name.ljust(width), stage.help) for name, stage in stages().items() if stage.group is group]
            with formatter.section(group):
                formatter.write_dl(listed)


def command_line() -> CommandLine:
    """The parser, which gives a `Call`."""
    line = CommandLine(
        name="ncs",
        help="Click and watch models from raw logs to comparison.",
        epilog='\b\nTab completion, for bash (zsh and fish likewise):\n  eval "$(_NCS_COMPLETE=bash_source ncs)"',
        commands={name: _command(stage) for name, stage in stages().items()},
        subcommand_metavar="STAGE [OPTIONS]",
    )
    return click.version_option(package_name="ncs", prog_name="ncs", message="%(prog)s %(version)s")(line)


def _command(stage: Stage) -> click.Command:
    params = list(stage.arguments)
    params += [param for param in _common() if param.name not in {own.name for own in params}]
    examples = "\n".join(f"  {example}" for example in stage.examples)
    return click.Command(
        stage.name,
        params=params,
        help=stage.details,
        short_help=stage.help,
        epilog=f"\b\nExamples:\n{examples}",
        callback=lambda **values: Call(stage, values, tuple(_keys(params, values))),
    )


def _common() -> tuple[click.Parameter, ...]:
    """The arguments of every stage."""
    return (
        click.Option(
            ["--conf"], required=True, metavar="FILE", envvar="NCS_CONF", help="Configuration, see conf/; or NCS_CONF.",
            shell_complete=_complete_file,
        ),
        click.Option(
            ["--lake"], metavar="DIR", envvar="NCS_LAKE", shell_complete=_complete_file,
            help="Root of the lake (default: lake/<name of the configuration>); or NCS_LAKE.",
        ),
        click.Option(["--days"], metavar="A..B", help="Days to work on (default: logs.days)."),
        click.Option(["--set"], multiple=True, metavar="K=V", help="Override a key, as a.b=value."),
        *worker_options(hidden=True),
        click.Option(["--quiet"], is_flag=True, help="Print results and errors only."),
        click.Option(["--debug"], is_flag=True, help="Show the stack trace of an error."),
    )  # fmt: skip


def _complete_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type="file")]


def _is_own(param: click.Parameter) -> bool:
    """Whether a stage's `run` is given its value: not what every job has."""
    return not isinstance(param, KeyOption) and param.name not in ("days", "parallel")


def _keys(params: Sequence[click.Parameter], values: Mapping[str, Any]) -> Iterator[str]:
    """The settings of options that stand for a key of the configuration."""
    for param in params:
        if isinstance(param, KeyOption) and values[param.name or ""] is not None:
            yield f"{param.key}={param.template.format(values[param.name or ''])}"
    if values["hosts"] and values["workers"] is None:
        slots = [place.rpartition(":")[2] for place in values["hosts"].split(",")]
        yield f"workers={sum(int(n) for n in slots if n.isdigit())}"


def _name_blocked_days(job: Job | None) -> None:
    if job is not None and job.blocked:
        print(job.blocked_days(), file=sys.stderr)


def _message(err: BaseException) -> str:
    if isinstance(err, NcsError):
        return str(err)
    return f"{type(err).__name__}: {root_cause(err)} (unexpected; --debug shows where)"


if __name__ == "__main__":
    command()
