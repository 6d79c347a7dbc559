"""What single stages can be told beside the arguments that all of them take."""

import argparse
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Options:
    """The arguments of single stages; the others leave them as they are."""

    table: str | None = None
    """validate: the one table."""
    key: str = ""
    values: str = ""
    """sweep: the key, and its values as a YAML list."""
    parallel: int = 1
    """backfill: parts of the days that are worked on at once."""
    json: bool = False
    """status, quarantine: print JSON."""
    action: str = "show"
    log: str | None = None
    reason: str | None = None
    """quarantine: what to do, with rows of which log and reason (None: of all)."""
    apply: bool = False
    """maintain: do what is to be done."""
    notebook: str = ""
    """notebook: one of `notebooks/`, or a path."""
    run_id: str | None = None
    """export, track: of which run (None: the newest)."""
    model: str = "connection_share"
    task: str | None = None
    """export: which model, which tasks (None: all)."""

    user_ids: tuple[str, ...] = ()
    ids_file: str | None = None
    """erase: user ids, and a file with one a line."""

    @classmethod
    def of(cls, args: argparse.Namespace) -> "Options":
        """Those that the stage's parser knows."""
        return cls(**{one.name: getattr(args, one.name) for one in fields(cls) if hasattr(args, one.name)})


def add_options(stage: argparse.ArgumentParser, name: str) -> None:
    """Add the arguments of the stage called `name` to its parser."""
    add = stage.add_argument
    if name in ("compare", "sweep"):
        add("--models", metavar="A,B", help="as --set compare.models=[A,B]; or all")
        add("--seeds", type=int, metavar="N", help="as --set compare.seeds=N")
    if name == "sweep":
        add("--key", required=True, metavar="K", help="the key, as net.hidden")
        add("--values", required=True, metavar="[V,..]", help="its values, a YAML list")
    if name == "backfill":
        add("--parallel", type=_positive, default=1, metavar="N", help="parts of the days at once")
    if name == "quarantine":
        add("action", choices=["show", "replay"])
        add("--log", choices=["impressions", "clicks", "plays"], help="of one log")
        add("--reason", metavar="NAME", help="of one reason, as bad_watch")
    if name in ("status", "quarantine"):
        add("--json", action="store_true", help="print JSON")
    if name == "erase":
        add("--user-id", dest="user_ids", action="append", default=[], metavar="ID", help="a user (may come again)")
        add("--file", dest="ids_file", metavar="FILE", help="users, an id a line")
    if name == "notebook":
        add("notebook", metavar="NAME", help="of notebooks/, or a file")
    if name == "validate":
        add("--table", metavar="NAME", help="one table, as silver/samples (default: all there are)")
    if name in ("export", "track"):
        add("--run", dest="run_id", metavar="ID", help="the run (default: the newest)")
    if name == "export":
        add("--model", default=Options.model, metavar="NAME", help=f"its model (default: {Options.model})")
        add("--task", metavar="A,B", help="its tasks (default: all)")
    if name == "maintain":
        add("--apply", action="store_true", help="do it; without, only say what would be done")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)
