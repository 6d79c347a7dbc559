"""Small lakes as they are before each stage and after it, and what a reader may see in between."""

import shutil
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from jobs.cli import main
from jobs.pipeline.ingest import TABLES as BRONZE
from ncs.lake import layout, storage
from ncs.lake.layout import Lake
from tests.factories import ROOT
from tests.faults.logs import DAYS, deliver

CONF = str(ROOT / "conf" / "demo.yaml")
SPARK = ["spark.master=local[2]", "spark.sql.shuffle.partitions=2", "spark.driver.memory=600m"]
SETTINGS = [f"logs.days={DAYS}", "days_at_once=1", "encode.rows_per_file=64", "net.embedding=2", "net.hidden=[8, 4]"]
SETTINGS += ["train.models=[layer_share]", "train.epochs=1", "train.threads=1"]

WRITES = {
    "ingest": list(BRONZE.values()),
    "label": [layout.SAMPLES, layout.QUARANTINE],
    "encode": [layout.VOCABULARY, "gold/ctr_samples", "gold/cvr_samples"],
    "train": [],
    "predict": [layout.PREDICTIONS],
    "evaluate": [layout.SLICES, layout.EVALUATIONS],
}
"""The stages in order, and the tables of each."""

Kind = Literal["fresh", "redelivered"]
"""What a stage finds: nothing of its own, or its tables as an earlier delivery of the logs had them."""

Rows = dict[str, Counter[str]]
"""A table's rows by day, or by whatever else is replaced in one commit."""


def command(stage: str, lake: Lake) -> list[str]:
    """The command line of a stage."""
    settings = [part for setting in (*SPARK, *SETTINGS) for part in ("--set", setting)]
    return [stage, "--conf", CONF, "--lake", lake.root, "--quiet", *settings]


def rows(lake: Lake, table: str) -> Rows:
    """The rows of a table as they are now, read without Spark; none if there is no table."""
    if not lake.has(table):
        return {}
    found: Rows = defaultdict(Counter)
    for added in pa.table(DeltaTable(lake.uri(table)).get_add_actions(flatten=True)).to_pylist():
        parts = {key.removeprefix("partition."): str(value) for key, value in added.items() if "partition." in key}
        key = "/".join(value for name, value in sorted(parts.items()) if name != "split")
        for row in pq.ParquetFile(Path(lake.uri(table), added["path"])).read().to_pylist():
            there = {name: value for name, value in row.items() if value is not None}
            found[key][repr(sorted({**there, **parts}.items()))] += 1
    return dict(found)


def files(lake: Lake) -> set[str]:
    """What else there is in the lake: its files but those of the tables."""
    tables = tuple(f"{table}/" for some in WRITES.values() for table in some)
    return {name for name in storage.files(lake.root) if not name.startswith(tables)}


@dataclass(frozen=True)
class Chain:
    """The stages one after another, undisturbed, with a copy of the lake before each."""

    root: Path
    kind: Kind

    @classmethod
    def run(cls, root: Path, kind: Kind, last: str) -> "Chain":
        """Run all stages to `last`. Needs a Spark session."""
        chain = cls(root / kind, kind)
        landing = Path(chain.done.landing)
        if kind == "redelivered":
            deliver(landing, whole=False)
            for stage in cls.stages(last):
                chain._call(stage)
        deliver(landing, whole=True)
        for stage in cls.stages(last):
            shutil.copytree(chain.done.root, chain.root / "before" / stage)
            chain._call(stage)
        return chain

    @staticmethod
    def stages(last: str) -> list[str]:
        """The stages up to one of them."""
        names = list(WRITES)
        return names[: names.index(last) + 1]

    @property
    def done(self) -> Lake:
        """The lake after all stages."""
        return Lake.at(str(self.root / "done"))

    def before(self, stage: str, place: Path | None = None) -> Lake:
        """The lake as a stage finds it, or a copy of it at `place`."""
        lake = Lake.at(str(self.root / "before" / stage))
        return lake if place is None else Lake.at(str(shutil.copytree(lake.root, place)))

    def after(self, stage: str) -> Lake:
        """The lake as a stage leaves it."""
        (following,) = self.stages("evaluate")[1:][self.stages("evaluate").index(stage) :][:1] or [None]
        there = following and (self.root / "before" / following).exists()
        return self.before(following) if following and there else self.done

    def _call(self, stage: str) -> None:
        assert main(command(stage, self.done)) == 0


@cache
def expected(chain: Chain, stage: str) -> dict[str, tuple[Rows, Rows]]:
    """Table -> its rows before a stage, and after it: whatever a reader finds is one or the other."""
    return {table: (rows(chain.before(stage), table), rows(chain.done, table)) for table in WRITES[stage]}
