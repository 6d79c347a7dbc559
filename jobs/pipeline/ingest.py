"""Bring raw logs into bronze tables: a day's impressions, clicks and plays, and all users and videos."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.job import Job
from ncs.days import Days
from ncs.encodings import UTF8
from ncs.errors import DataError
from ncs.labels.reach import Reach
from ncs.lake import layout
from ncs.lake.currency import Wanted, is_current
from ncs.lake.erasure import erased_users
from ncs.lake.layout import ALL, Lake, Record
from ncs.lake.reconcile import Written, check_rows, take_back
from ncs.lake.removal import erased_impressions, without_erased
from ncs.lake.writer import replace_all, replace_days
from ncs.logs.files import reading
from ncs.logs.names import SampleColumns
from ncs.logs.pseudonyms import check_one_kind
from ncs.logs.schemas import DAY_LOGS, PROFILES, as_types, profile_rows, retyped
from ncs.logs.source import Source, open_source
from ncs.threads import together

TABLES = {
    "impressions": layout.IMPRESSIONS,
    "clicks": layout.CLICKS,
    "plays": layout.PLAYS,
    "users": layout.USERS,
    "videos": layout.VIDEOS,
}
Provenances = dict[date | None, dict[str, Any]]
"""Day (None for users and videos) -> the provenance of its rows."""
Stale = dict[str, Provenances]
"""Log -> what has to be read."""


def run(job: Job) -> None:
    """Ingest the logs whose files have changed; a day that cannot be read whole is blocked alone (`job.blocked`).

    Raises DataError if users or videos cannot be read, or no day can.
    """
    source = open_source(job.conf, job.lake)
    stale = _find_stale(job, source)
    names = _check_names(job, source, stale)
    days = {day for log in DAY_LOGS for day in stale[log] if day}
    rows: Counter[str] = Counter()
    try:
        rows.update(_ingest(job, source, {log: stale[log] for log in PROFILES}, "users and videos", names))
        for counts in job.each(lambda part: _ingest_days(job, source, stale, part, names), days, "ingest"):
            rows.update(counts)
    finally:
        source.close()
    read = sum(day not in job.blocked for day in days)
    new = ", ".join(f"{rows[log]:,} {log}" for log in TABLES if log in rows)
    job.say(f"ingest: {read} of {len(job.days)} days read, {new or 'nothing new'}, in {job.lake.uri('bronze')}")


def provenance(job: Job, source: Source, log: str, day: date | None) -> dict[str, Any]:
    """The provenance that a log's rows of a day would have now. Raises DataError if there is no file."""
    conf = job.conf.digest("logs.adapter", "logs.timezone")
    key = {"pseudonyms": source.pseudonyms.fingerprint} if source.pseudonyms.key else {}
    encoding = {"encoding": job.conf.logs.encoding} if job.conf.logs.encoding != UTF8 else {}
    texts = {"text_ids": sorted(job.conf.logs.text_ids)} if job.conf.logs.text_ids else {}
    return json.loads(json.dumps({"conf": conf, "files": source.fingerprint(log, day), **key, **encoding, **texts}))


def wanted(job: Job) -> dict[str, Wanted]:
    """The provenance that each log's table would have now, for the days of the job."""
    source = open_source(job.conf, job.lake)
    return {
        table: {str(day or ALL): _wanted(job, source, log, day) for day in (job.days if log in DAY_LOGS else [None])}
        for log, table in TABLES.items()
    }


def _wanted(job: Job, source: Source, log: str, day: date | None) -> dict[str, Any] | DataError:
    try:
        return provenance(job, source, log, day)
    except DataError as err:
        return err


def _find_stale(job: Job, source: Source) -> Stale:
    """What has to be read; days of which a log is missing are blocked."""
    lake = job.now().lake
    check_one_kind(lake.records(layout.IMPRESSIONS), source.pseudonyms, job.conf.logs.text_ids, job.days)
    stale: Stale = {log: {} for log in TABLES}

    def look(log: str, day: date | None) -> None:
        wanted = provenance(job, source, log, day)
        if not is_current(lake, TABLES[log], day or ALL, wanted):
            stale[log][day] = wanted

    with reading("users and videos"):
        for log in PROFILES:
            look(log, None)
    for day in job.days:
        try:
            with reading(f"the logs of {day}"):
                for log in DAY_LOGS:
                    look(log, day)
        except DataError as err:
            _leave_out(job, stale, day, err)
    return stale


def _check_names(job: Job, source: Source, stale: Stale) -> SampleColumns:
    """Compare the columns of all logs before any is read or written; a day whose names clash is blocked alone.

    What a table has from earlier deliveries stays taken. Raises DataError if users or videos clash.
    """
    names = SampleColumns()
    for log, table in TABLES.items():
        names.add(log, job.lake.columns(table) if job.lake.has(table) else [], table)
        for path in source.left_out(log) if stale[log] else []:
            job.say(f"ingest: {path} is left out, for it is no folder of a day (day=YYYY-MM-DD) of {log}")
    for log in (*PROFILES, *DAY_LOGS):
        for day in sorted(stale[log], key=str):
            what = f"{log} of {day}" if day else log
            try:
                with reading(what):
                    columns = source.columns(log, day)
                names.add(log, columns, what)
            except DataError as err:
                if day is None:
                    raise
                _leave_out(job, stale, day, err)
    return names


def _leave_out(job: Job, stale: Stale, day: date, reason: DataError) -> None:
    """Block a day before any of its logs is read."""
    for log in DAY_LOGS:
        stale[log].pop(day, None)
    if day not in job.blocked:
        job.block(day, reason)


def _ingest_days(job: Job, source: Source, stale: Stale, days: Days, names: SampleColumns) -> dict[str, int]:
    """Ingest days together or, if they cannot be read, one by one, so that the bad ones are blocked alone."""
    try:
        return _ingest(job, source, {log: _of(stale[log], days) for log in DAY_LOGS}, f"the logs of {days}", names)
    except DataError as err:
        if len(days) == 1:
            job.block(days.first, err)
            return {}
    rows: Counter[str] = Counter()
    for day in days:
        rows.update(_ingest_days(job, source, stale, Days(day, day), names))
    return rows


def _of(stale: Provenances, days: Days) -> Provenances:
    return {day: provenance for day, provenance in stale.items() if day and day in days}


def _ingest(job: Job, source: Source, logs: Stale, what: str, names: SampleColumns) -> dict[str, int]:
    """Read, check and count some logs, then write each in one commit. Returns the rows of each.

    Raises DataError, and takes every commit back, if a table does not hold the rows that were read.
    """
    frames: dict[str, DataFrame] = {}
    try:
        for log, days in logs.items():
            if days:
                # Kept until they are written: the count reads every file to its end, so none breaks later.
                with reading(what):
                    frames[log] = _read(job, source, log, [day for day in days if day], names).persist()
        counts = _count(frames, what) if frames else {}
        _check_no_empty_day(logs, counts)
        expected = {log: {str(day or ALL): counts[log].get(day, 0) for day in logs[log]} for log in frames}
        written = together(lambda log: _write(job, log, frames[log], logs[log], expected[log]), frames)
        _check_rows(job.lake, written, expected.values())
    finally:
        for rows in frames.values():
            rows.unpersist()
    return {log: sum(of_log.values()) for log, of_log in counts.items()}


def _write(job: Job, log: str, rows: DataFrame, days: Provenances, expected: Mapping[str, int]) -> Written:
    """Write a log's days in one commit."""
    table, by_partition = TABLES[log], {str(day or ALL): provenance for day, provenance in days.items()}
    records = [Record("ingest", day, provenance, {"rows": expected[day]}) for day, provenance in by_partition.items()]
    was_there = job.lake.has(table)
    if log in PROFILES:
        replace_all(rows, job.lake.uri(table), records[0])
    else:
        replace_days(rows, job.lake.uri(table), records)
    return Written(table, job.lake.records(table)[records[0].key][0], was_there)


def _check_rows(lake: Lake, written: list[Written], expected: Iterable[Mapping[str, int]]) -> None:
    """Compare the commits with what was read, and take all of them back if one lacks rows."""
    try:
        for commit, rows in zip(written, expected, strict=True):
            check_rows(lake, commit, rows)
    except DataError:
        for commit in written:
            take_back(lake, commit)
        raise


def _read(job: Job, source: Source, log: str, days: list[date], names: SampleColumns) -> DataFrame:
    rows = _without_erased(job, source, log, days)
    if log in PROFILES:
        rows = profile_rows(rows, PROFILES[log])
    what = f"{log} of {Days(days[0], days[-1])}" if days else log
    names.add(log, rows.columns, what)
    if not job.lake.has(TABLES[log]):
        return rows
    kept = job.read(TABLES[log])
    gone = [name for name in kept.columns if name not in rows.columns]
    if log == "impressions" and "length_seconds" in gone and "length_seconds" in job.lake.columns(layout.VIDEOS):
        gone.remove("length_seconds")  # the samples take that of the video then
    _name_dropped(job, what, gone)
    others = kept.where(~F.col("day").isin(days) if days else F.lit(False))  # profiles are replaced whole
    taken = as_types(rows, others, what, f"{TABLES[log]} so far")
    if changed := "; ".join(retyped(kept.schema, taken.schema)):
        job.say(f"ingest: {what}: {changed}")
    return taken


def _without_erased(job: Job, source: Source, log: str, days: list[date]) -> DataFrame:
    """A log's rows without those of users that `ncs erase` has removed; events by the impressions they belong to."""
    rows, erased = source.read(job.spark, log, days), erased_users(job.lake)
    if not erased:
        return rows
    if "user_id" in rows.columns:
        return without_erased(job.spark, rows, erased)
    if log in PROFILES:
        return rows
    # Of days before, an event's impression may be; such a day is read only if it was read whole before.
    lake = job.now().lake
    reach = Reach.of(job.conf.logs, job.conf.labels)
    earlier = Days(days[0], days[0]).widened(before=reach.days + reach.late_days + 1)
    wanted = {day: _wanted(job, source, "impressions", day) for day in earlier if day not in days}
    before = [day for day, made_from in wanted.items() if is_current(lake, layout.IMPRESSIONS, day, made_from)]
    impressions = source.read(job.spark, "impressions", [*before, *days])
    return rows.join(erased_impressions(job.spark, impressions, erased), "impression_id", "left_anti")


def _name_dropped(job: Job, what: str, columns: list[str]) -> None:
    """Say which columns are gone, null from now on. Raises DataError for one that is a feature."""
    for name in columns:
        if name in job.conf.fields:
            raise DataError(
                f"{what}: column {name!r} is gone, which is among fields; deliver it again, or take it out of fields"
            )
        for statistics in job.conf.statistics:
            if name in statistics.by:
                raise DataError(
                    f"{what}: column {name!r} is gone, which statistics are taken by ({statistics.group}); deliver it "
                    f"again, or take it out of statistics"
                )
        job.say(f"ingest: {what}: column {name!r} is gone, it is null there")


def _count(frames: dict[str, DataFrame], what: str) -> dict[str, dict[date | None, int]]:
    """Rows of each frame by day, all in one Spark job."""
    no_day = F.lit(None).cast("date")
    parts = [
        rows.select(F.lit(log), no_day if log in PROFILES else F.col("day").alias("day"))
        for log, rows in frames.items()
    ]
    rows = reduce(DataFrame.union, parts).toDF("log", "day")
    counts: dict[str, dict[date | None, int]] = {log: {} for log in frames}
    with reading(what):
        for log, day, count in rows.groupBy("log", "day").count().collect():
            counts[log][day] = count
    return counts


def _check_no_empty_day(logs: Stale, counts: dict[str, dict[date | None, int]]) -> None:
    for day, provenance in logs.get("impressions", {}).items():
        if not counts["impressions"].get(day):
            raise DataError(
                f"impressions of {day}: the files hold no row of that day, among them "
                f"{next(iter(provenance['files']))}; deliver the day, or leave it out with --days"
            )
