"""The context of every job: the configuration, the lake, the days, a Spark session when it asks for one."""

import math
import os
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm

from ncs.days import Days
from ncs.errors import BlockedDaysError

if TYPE_CHECKING:  # every stage's declaration imports this module, and `ncs --help` all of them: nothing heavy
    from pyspark.sql import DataFrame, SparkSession

    from ncs.config import Config
    from ncs.lake.layout import Lake

T = TypeVar("T")
ROUNDS = 3
"""The number of times that a stage looks for stale days: another process may have changed their inputs meanwhile."""


@dataclass
class Job:
    """One call of the command line, or of a notebook."""

    conf: "Config"
    lake: "Lake"
    days: Days
    quiet: bool = False
    debug: bool = False
    days_given: bool = True  # whether --days named them, or they are logs.days
    until: date | None = None  # the day that a window ends with at the latest
    parallel: int = 1  # parts of the days that are worked on at once
    ahead: tuple[str, ...] = ()  # modules that are needed once Spark has started, and take as long to import
    blocked: dict[date, str] = field(default_factory=dict)  # day -> why it is blocked

    @property
    def open_days(self) -> list[date]:
        """The days to work on that are not blocked."""
        return [day for day in self.days if day not in self.blocked]

    def place_window(self) -> None:
        """Place the window of learning days, if there is one, on what is labelled now, at most up to `until`."""
        from ncs.lake.windows import place_window

        self.conf = place_window(self.conf, self.lake, self.until, self.blocked)

    def now(self) -> "Job":
        """The job at one look at the lake, which reads each table's history once (`ncs.lake.currency`)."""
        from ncs.lake.currency import LakeNow

        return replace(self, lake=LakeNow(self.lake.root))

    def block(self, day: date, reason: Exception) -> None:
        """Block a day and go on with the others. Raises BlockedDaysError if it is the last one."""
        self.blocked[day] = str(reason)
        self.say(f"{day} blocked: {reason}")
        if not self.open_days:
            self.check_blocked()

    def check_blocked(self, remedy: str = "Deliver the blocked days again and run the same command") -> None:
        """Raises BlockedDaysError if days are blocked: the others are done, but somebody has to look."""
        if self.blocked:
            done = {0: "no other day is left", 1: "the other day is done"}.get(
                len(self.open_days), f"the other {len(self.open_days)} days are done"
            )
            raise BlockedDaysError(
                f"{Days.text(self.blocked)} blocked, {done}. {remedy}\n" + "\n".join(self.blocked.values())
            )

    def blocked_days(self) -> str:
        """The days that are blocked, each with its reason, for when another error ends the run."""
        return "\n".join(f"{day} blocked: {self.blocked[day]}" for day in sorted(self.blocked))

    @cached_property
    def spark(self) -> "SparkSession":
        """The Spark session; stages that train never ask, so they start no JVM."""
        from jobs.interrupt import restore_handler
        from ncs.lake.session import spark_session  # and all that it imports: two threads must not import the same

        log = None
        if not self.debug:
            # A name that nobody can foresee, for others may write into the folder too.
            descriptor, log = tempfile.mkstemp(prefix="ncs-spark-", suffix=".log")
            os.close(descriptor)
        beside = Thread(target=_import, args=(self.ahead,))
        beside.start()
        try:
            session = spark_session(self.conf, Path(log) if log else None)
        finally:
            beside.join()
        restore_handler()
        return session

    def read(self, table: str, version: int | None = None, days: Iterable[date] | None = None) -> "DataFrame":
        """Rows of a table of the lake at a version, or as it is now: all, or those of some days."""
        from pyspark.sql import functions as F

        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        rows = reader.load(self.lake.uri(table))
        return rows if days is None else rows.where(F.col("day").isin(list(days)))

    def say(self, text: str) -> None:
        """A line for whoever watches."""
        from ncs.values import redact

        if not self.quiet:
            tqdm.write(redact(text), file=sys.stderr)

    def progress(self, items: Iterable[T], what: str, unit: str = "day", total: int | None = None) -> Iterable[T]:
        """The items with a bar while somebody watches a terminal."""
        hidden = self.quiet or not sys.stderr.isatty()
        return tqdm(items, desc=what, unit=unit, total=total, disable=hidden, leave=False)

    def each(self, work: Callable[[Days], T], days: Collection[date], what: str) -> list[T]:
        """Results of `work` for runs of the days, each of at most `days_at_once` days, `parallel` of them concurrently.

        After an error no further run of days is begun; those under way are finished.
        """
        if not days:
            return []
        longest = min(self.conf.days_at_once, math.ceil(len(days) / self.parallel))
        parts = Days.runs(days, longest)
        self.spark  # noqa: B018  (one session, made before threads ask for it)
        pool = ThreadPoolExecutor(self.parallel)
        try:
            return list(self.progress(pool.map(work, parts), what, total=len(parts)))
        except KeyboardInterrupt:
            self.spark.sparkContext.cancelAllJobs()  # threads that wait for them end
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _import(modules: Iterable[str]) -> None:
    with suppress(Exception):  # whoever needs one imports it again, and sees the error then
        for module in modules:
            import_module(module)
