"""Turn samples into ids: a vocabulary from the training days, then each day's CTR and CVR samples.

spark-submit jobs/encode.py --conf conf/demo.yaml --lake lake/demo --days 2022-04-08..2022-04-16
"""

import sys
from collections.abc import Mapping
from datetime import date
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.cli import main
from jobs.job import Job
from ncs.days import Days
from ncs.errors import DataError
from ncs.lake import layout
from ncs.lake.content import content
from ncs.lake.layout import ALL, Record
from ncs.lake.writer import replace_all, replace_days
from ncs.samples.features import build_vocabulary, check_columns, encode_days


def run(job: Job) -> None:
    """Learn the vocabulary if the training days have changed, then encode the days that are not up to date."""
    _learn_vocabulary(job)
    done = job.lake.records(layout.CVR_SAMPLES)
    samples = job.lake.records(layout.SAMPLES)
    vocabulary, _ = job.lake.records(layout.VOCABULARY)[ALL]
    conf = job.conf.digest("fields", "encode", "split.validation")
    stale = {}
    for day in job.days:
        if str(day) not in samples:
            raise DataError(f"{layout.SAMPLES} has no day {day}; run `ncs label --days {day}` first")
        made_from = {
            "conf": conf,
            "test": day not in job.conf.train_days,
            "inputs": {layout.VOCABULARY: vocabulary, f"{layout.SAMPLES}/{day}": samples[str(day)][0]},
        }
        if str(day) not in done or done[str(day)][1].made_from != made_from:
            stale[day] = made_from
    for days in job.progress(Days.runs(stale, job.conf.days_at_once), "encode"):
        _encode(job, days, stale)
    job.say(f"encode: {len(stale)} of {len(job.days)} days encoded, in {job.lake.uri('gold')}")


def _learn_vocabulary(job: Job) -> None:
    days = job.conf.train_days
    inputs = job.lake.inputs(layout.SAMPLES, days=days)
    missing = [str(day) for day in days if f"{layout.SAMPLES}/{day}" not in inputs]
    if missing:
        raise DataError(
            f"{layout.SAMPLES} lacks training days {', '.join(missing)}, which the vocabulary is learnt from; "
            f"run `ncs label --days {days}` first, or shorten logs.days"
        )
    made_from = {"conf": job.conf.digest("fields"), "inputs": inputs}
    done = job.lake.records(layout.VOCABULARY)
    if ALL in done and done[ALL][1].made_from == made_from:
        return
    samples = job.table_of(layout.SAMPLES).where(F.col("day").between(days.first, days.last))
    check_columns(samples, job.conf.fields)
    if samples.where(F.col("cvr").isNotNull()).isEmpty():
        raise DataError(
            f"{layout.SAMPLES} has no clicked row with a label on the training days {days}; nothing to learn"
        )
    vocabulary = build_vocabulary(samples, job.conf.fields).persist()
    try:
        record = Record("encode", ALL, made_from, {"content": content(vocabulary, "field")})
        replace_all(vocabulary, job.lake.uri(layout.VOCABULARY), record)
    finally:
        vocabulary.unpersist()
    job.say(f"encode: vocabulary of {len(job.conf.fields)} fields learnt on {days}")


def _encode(job: Job, days: Days, made_from: Mapping[date, dict[str, Any]]) -> None:
    conf = job.conf
    samples = job.table_of(layout.SAMPLES).where(F.col("day").between(days.first, days.last))
    rows = encode_days(samples, job.table_of(layout.VOCABULARY), conf.fields, conf.split, conf.encode, conf.train_days)
    rows = rows.persist()
    try:
        contents = content(rows, "day")
        records = [
            Record("encode", str(day), made_from[day], {"content": contents.get(str(day), "empty")}) for day in days
        ]
        # The CVR samples' commit closes the days: killed before it, they are encoded again.
        for table, columns in ((layout.CTR_SAMPLES, rows.drop("cvr")), (layout.CVR_SAMPLES, _labelled(rows))):
            replace_days(columns, job.lake.uri(table), records, ("day", "split"), conf.encode.rows_per_file)
    finally:
        rows.unpersist()


def _labelled(rows: DataFrame) -> DataFrame:
    return rows.where(F.col("cvr").isNotNull()).drop("clicked")


if __name__ == "__main__":
    sys.exit(main(["encode", *sys.argv[1:]]))
