"""Turn samples into ids: a vocabulary from the training days, then each day's samples of each task.

spark-submit jobs/encode.py --conf conf/demo.yaml --lake lake/demo --days 2022-04-08..2022-04-16
"""

import sys
from collections.abc import Mapping
from datetime import date
from typing import Any

from pyspark.sql import functions as F

from jobs.cli import main
from jobs.job import Job
from ncs.config import digest
from ncs.days import Days
from ncs.errors import DataError
from ncs.lake import layout
from ncs.lake.content import content
from ncs.lake.layout import ALL, Record
from ncs.lake.writer import replace_all, replace_days
from ncs.samples.features import build_vocabulary, check_columns, encode_days
from ncs.tasks import tasks_of


def run(job: Job) -> None:
    """Learn the vocabulary if the training days have changed, then encode the days that are not up to date."""
    _learn_vocabulary(job)
    tasks = tasks_of(job.conf)
    # The tables hold each other's labels: all must be of the tasks as they are now.
    done = [job.lake.records(task.table) for task in tasks.values()]
    samples = job.lake.records(layout.SAMPLES)
    vocabulary, _ = job.lake.records(layout.VOCABULARY)[ALL]
    labels = {task.name: [task.label, task.expression, task.where] for task in tasks.values()}
    conf = digest([job.conf.part("fields", "encode", "split.validation"), labels])
    stale = {}
    for day in job.open_days:
        if str(day) not in samples:
            raise DataError(f"{layout.SAMPLES} has no day {day}; run `ncs label --days {day}` first")
        made_from = {
            "conf": conf,
            "test": day not in job.conf.train_days,
            "inputs": {layout.VOCABULARY: vocabulary, f"{layout.SAMPLES}/{day}": samples[str(day)][0]},
        }
        if any(str(day) not in table or table[str(day)][1].made_from != made_from for table in done):
            stale[day] = made_from
    if stale:
        check_columns(job.table_of(layout.SAMPLES), job.conf.fields, tasks)
    for days in job.progress(Days.runs(stale, job.conf.days_at_once), "encode"):
        _encode(job, days, stale)
    job.say(f"encode: {len(stale)} of {len(job.open_days)} days encoded, in {job.lake.uri('gold')}")


def _learn_vocabulary(job: Job) -> None:
    days = [day for day in job.conf.train_days if day not in job.held]
    if not days:
        raise DataError(f"all training days are held back: {Days.text(job.held)}; nothing to learn from")
    labelled = job.lake.records(layout.SAMPLES)
    inputs = {f"{layout.SAMPLES}/{day}": labelled[str(day)][0] for day in days if str(day) in labelled}
    missing = [day for day in days if f"{layout.SAMPLES}/{day}" not in inputs]
    if missing:
        raise DataError(
            f"{layout.SAMPLES} lacks training days {Days.text(missing)}, which the vocabulary is learnt from; "
            f"run `ncs label --days {job.conf.train_days}` first, or shorten logs.days"
        )
    made_from = {"conf": job.conf.digest("fields"), "inputs": inputs}
    done = job.lake.records(layout.VOCABULARY)
    learnt_from = done[ALL][1].made_from if ALL in done else {}
    # While a day is held back its earlier rows stay in gold: the ids in them must go on to mean the same.
    if learnt_from == made_from or (job.held and learnt_from.get("conf") == made_from["conf"]):
        return
    samples = job.table_of(layout.SAMPLES).where(F.col("day").isin(days))
    check_columns(samples, job.conf.fields, tasks_of(job.conf))
    if samples.where(F.col("cvr").isNotNull()).isEmpty():
        raise DataError(
            f"{layout.SAMPLES} has no clicked row with a label on the training days {Days.text(days)}; nothing to learn"
        )
    vocabulary = build_vocabulary(samples, job.conf.fields).persist()
    try:
        record = Record("encode", ALL, made_from, {"content": content(vocabulary, "field")})
        replace_all(vocabulary, job.lake.uri(layout.VOCABULARY), record)
    finally:
        vocabulary.unpersist()
    job.say(f"encode: vocabulary of {len(job.conf.fields)} fields learnt on {Days.text(days)}")


def _encode(job: Job, days: Days, made_from: Mapping[date, dict[str, Any]]) -> None:
    conf, tasks = job.conf, tasks_of(job.conf)
    samples = job.table_of(layout.SAMPLES).where(F.col("day").between(days.first, days.last))
    vocabulary = job.table_of(layout.VOCABULARY)
    rows = encode_days(samples, vocabulary, conf.fields, conf.split, conf.encode, conf.train_days, tasks).persist()
    try:
        contents = content(rows, "day")
        records = [
            Record("encode", str(day), made_from[day], {"content": contents.get(str(day), "empty")}) for day in days
        ]
        # A commit a task: killed between them, the days are encoded again.
        for task in tasks.values():
            labelled = rows.where(~F.isnan(task.label))
            replace_days(labelled, job.lake.uri(task.table), records, ("day", "split"), conf.encode.rows_per_file)
    finally:
        rows.unpersist()


if __name__ == "__main__":
    sys.exit(main(["encode", *sys.argv[1:]]))
