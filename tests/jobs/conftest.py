"""A lake as the stages leave it, made without Spark: for what only reads Delta's logs."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, write_deltalake

from jobs.job import Job
from jobs.pipeline import encode, ingest, label
from ncs.config import Config
from ncs.days import Days
from ncs.lake import layout
from ncs.lake.layout import ALL, Lake, Record, user_metadata
from ncs.logs.source import open_source

DAYS = Days.parse("2022-04-08..2022-04-10")
LAST = date(2022, 4, 10)


def write_part(lake: Lake, table: str, rows: int, record: Record) -> None:
    parted = [] if record.key == ALL else ["day"]
    columns: dict[str, list[object]] = {"n": list(range(rows))}
    if parted:
        day = date.fromisoformat(record.key)
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
        columns |= {"day": [day] * rows, "ts": [noon] * rows}
    write_deltalake(
        lake.uri(table),
        pa.table(columns),
        mode="append",
        partition_by=parted or None,
        commit_properties=CommitProperties(custom_metadata={"userMetadata": user_metadata([record])}),
    )


@pytest.fixture
def written(lake: Lake, tmp_path: Path, load_conf: Callable[..., Config]) -> Job:
    """A lake as the stages leave it, of tables with a number and the day's noon; the last day is provisional."""
    logs = tmp_path / "logs"
    for log in (*ingest.DAY_LOGS, *ingest.PROFILES):
        for day in DAYS if log in ingest.DAY_LOGS else [None]:
            folder = logs / log / (f"day={day}" if day else "")
            folder.mkdir(parents=True)
            (folder / "a.csv").write_text("as it was")
    job = Job(load_conf(f"logs.source={logs}", f"logs.days={DAYS}"), lake, DAYS, quiet=True)
    source = open_source(job.conf, lake)
    for log, table in ingest.TABLES.items():
        for part in DAYS if log in ingest.DAY_LOGS else [None]:
            record = Record("ingest", str(part or ALL), ingest.provenance(job, source, log, part), {"rows": 4})
            write_part(lake, table, 4, record)
    for day in DAYS:
        logs_of: dict[str, dict[str, Any]] = {log: {"quarantined": {}, "duplicates": 1} for log in ingest.DAY_LOGS}
        logs_of["plays"]["quarantined"] = {"bad_watch": 2}
        facts = {"logs": logs_of, "provisional": day == LAST}
        write_part(lake, layout.SAMPLES, 3, Record("label", str(day), label.provenance(job, day), facts))
        write_part(lake, layout.QUARANTINE, 2, Record("label", str(day), label.provenance(job, day), facts))
    write_part(lake, layout.VOCABULARY, 5, Record("encode", ALL, encode.vocabulary_provenance(job)))
    for table in ("gold/ctr_samples", "gold/cvr_samples"):
        for day, provenance in encode.provenance(job).items():
            write_part(lake, table, 3, Record("encode", str(day), provenance))
    return job
