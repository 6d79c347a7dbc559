"""What every job is handed: the configuration, the lake, the days, a Spark session when it asks for one."""

import os
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tqdm import tqdm

from ncs.config import Config
from ncs.days import Days
from ncs.lake.layout import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

T = TypeVar("T")


@dataclass
class Job:
    """One call of the command line, or of a notebook."""

    conf: Config
    lake: Lake
    days: Days
    quiet: bool = False
    debug: bool = False
    table: str | None = None  # of validate
    sweep: tuple[str, Any] | None = None  # of sweep: the key and its values
    held: dict[date, str] = field(default_factory=dict)  # days that a gate holds back, and why

    @property
    def open_days(self) -> list[date]:
        """The days to work on that no gate holds back."""
        return [day for day in self.days if day not in self.held]

    @cached_property
    def spark(self) -> "SparkSession":
        """The Spark session; stages that train never ask, so they start no JVM."""
        from ncs.lake.session import spark_session

        log = None if self.debug else Path(tempfile.gettempdir()) / f"ncs-spark-{os.getpid()}.log"
        return spark_session(self.conf, log)

    def table_of(self, name: str) -> "DataFrame":
        """A table of the lake as it is now."""
        return self.spark.read.format("delta").load(self.lake.uri(name))

    def say(self, text: str) -> None:
        """A line for whoever watches."""
        if not self.quiet:
            tqdm.write(text, file=sys.stderr)

    def progress(self, items: Iterable[T], what: str, unit: str = "day") -> Iterable[T]:
        """The items with a bar while somebody watches a terminal."""
        hidden = self.quiet or not sys.stderr.isatty()
        return tqdm(list(items), desc=what, unit=unit, disable=hidden, leave=False)
