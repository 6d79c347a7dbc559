"""The command line: `ncs <stage> --conf FILE`, and the `main` of every `jobs/<stage>.py`."""

import argparse
import importlib
import os
import re
import sys
from collections.abc import Sequence

from jobs.job import Job
from jobs.options import Options, add_options
from ncs import config
from ncs.config.values import CREDENTIALS, redact
from ncs.days import Days
from ncs.errors import BlockedDaysError, ConfigError, DataError, NcsError
from ncs.lake import damage, storage
from ncs.lake.layout import Lake

STAGES = {
    "generate": "write nine days of synthetic logs with a known truth",
    "ingest": "bring raw logs into bronze tables",
    "label": "join impressions, clicks and plays into labelled samples",
    "encode": "turn samples into ids, learnt from the training days",
    "validate": "hold the tables against their Great Expectations suites",
    "train": "search masks and train the models of train.models",
    "predict": "score the test days with the newest run's models",
    "evaluate": "compare the models, write the report",
    "compare": "train models of the catalogue with several seeds, say which differences are settled",
    "sweep": "compare models along the values of one key, draw curves",
    "export": "write a run's subnetworks as small models to serve: torch.export and ONNX",
    "simulate": "let synthetic users answer to rankings by the newest run's predictions",
    "offpolicy": "estimate what rankings would earn from logs whose videos chance chose",
    "backfill": "bring days from raw logs to the samples of gold, several at once",
    "status": "show each day of each table: rows, state, gate, when written, whether stale",
    "quarantine": "show the rows that were set aside, or replay their days",
    "erase": "remove users from every table, mark the models that saw them",
    "migrate": "bring tables that an earlier ncs wrote up to what this one writes",
    "views": "create the SQL views that analysts read",
    "notebook": "run a notebook on the lake and keep it as HTML",
    "track": "log a finished run to MLflow: parameters, figures, masks, data versions",
    "maintain": "report small and unused files; with --apply put them together and remove them",
    "run": "all of these in order; what is already there is skipped",
}
READERS = ("status", "erase", "quarantine", "maintain", "views", "notebook", "export", "track", "offpolicy")
"""The stages that have nothing to tell of a lake that is not there, and do not begin one."""


def parser() -> argparse.ArgumentParser:
    """The arguments, the same for every stage."""
    top = argparse.ArgumentParser(prog="ncs", description="Click and watch models from raw logs to comparison.")
    stages = top.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for name, what in STAGES.items():
        stage = stages.add_parser(name, help=what, description=what)
        stage.add_argument("--conf", required=True, metavar="FILE", help="configuration, see conf/")
        stage.add_argument("--lake", metavar="DIR", help="root of the lake (default: lake/<name of the configuration>)")
        days = "days" if name == "backfill" else "--days"
        stage.add_argument(days, metavar="A..B", help="days to work on (default: logs.days)")
        stage.add_argument("--set", action="append", default=[], metavar="K=V", help="override a key, a.b=value")
        stage.add_argument("--workers", type=int, metavar="N", help="training processes, as --set workers=N")
        stage.add_argument("--launcher", metavar="NAME", help="who starts them, as --set launch.launcher=NAME")
        stage.add_argument("--hosts", metavar="A:4,B:4", help="where, as --set launch.hosts=A:4,B:4, on all slots")
        stage.add_argument("--quiet", action="store_true", help="print results and errors only")
        stage.add_argument("--debug", action="store_true", help="show the stack trace of an error")
        add_options(stage, name)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage. Returns 0 on success, 2 for bad usage or configuration, 3 for a failed gate, else 1."""
    args = parser().parse_args(argv)
    job = None
    os.umask(os.umask(0) | 0o022)  # nothing that is written, by Spark's JVM too, is for others to change
    try:
        if CREDENTIALS.search(args.lake or ""):
            raise ConfigError(
                "--lake: credentials do not belong into a URI; give them to the store's client (environment)"
            )
        conf = config.load(args.conf, [*args.set, *_shorthands(args)])
        job = Job(
            conf=conf,
            lake=Lake.at(args.lake or os.path.join("lake", conf.name)),
            days=Days.parse(args.days) if args.days else conf.logs.days,
            days_given=args.days is not None,
            quiet=args.quiet,
            debug=args.debug,
            options=Options.of(args),
        )
        if args.stage in READERS and not storage.exists(job.lake.root):
            raise DataError(f"there is no lake at {job.lake.root}; name one with --lake, or make it with `ncs run`")
        job.lake.bind(conf)
        importlib.import_module(f"jobs.{args.stage}").run(job)
        job.check_blocked()
    except KeyboardInterrupt:
        print("ncs: stopped; the same command goes on from here", file=sys.stderr)
        _name_blocked_days(job)
        return 130
    except BaseException as err:
        # A panic of delta-rs is no Exception to Python, and would end in a stack trace.
        known = isinstance(err, Exception) or type(err).__name__ == "PanicException"
        if isinstance(err, Exception) and not args.debug:
            err = damage.named(err)
        if known and not args.debug:
            print(f"ncs {args.stage}: {redact(_message(err))}", file=sys.stderr)
        if known and not isinstance(err, BlockedDaysError):  # which names them itself
            _name_blocked_days(job)
        if args.debug or not known:
            raise
        return err.exit_code if isinstance(err, NcsError) else 1
    return 0


def command() -> None:
    """The installed command, and the task of a Databricks wheel, which takes anything but an exception for success."""
    code = main()
    if code:
        sys.exit(code)


def _shorthands(args: argparse.Namespace) -> list[str]:
    """The flags that stand for a key."""
    keys = {"workers": "workers", "launcher": "launch.launcher", "hosts": "launch.hosts"}
    keys |= {"models": "compare.models", "seeds": "compare.seeds"}
    given = {key: getattr(args, flag, None) for flag, key in keys.items()}
    if args.hosts and args.workers is None:
        slots = [place.rpartition(":")[2] for place in args.hosts.split(",")]
        given["workers"] = sum(int(n) for n in slots if n.isdigit())
    return [
        f"{key}=[{value}]" if key == "compare.models" else f"{key}={value}"
        for key, value in given.items()
        if value is not None
    ]


def _name_blocked_days(job: Job | None) -> None:
    if job is not None and job.blocked:
        print(job.blocked_days(), file=sys.stderr)


def _message(err: BaseException) -> str:
    if isinstance(err, NcsError):
        return str(err)
    first = (str(err).strip().splitlines() or [""])[0]
    causes = re.findall(r"^Caused by: (.+)", str(err), re.MULTILINE)  # of Java's: the last one is where it began
    return f"{type(err).__name__}: {causes[-1] if causes else first} (unexpected; --debug shows where)"


if __name__ == "__main__":
    sys.exit(main())
