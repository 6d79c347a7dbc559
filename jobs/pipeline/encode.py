"""Turn samples into ids: a vocabulary from the training days, then each day's samples of each task."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date
from functools import partial
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.job import ROUNDS, Job
from ncs.config import digest
from ncs.days import Days
from ncs.errors import DataError
from ncs.features.encoding import build_vocabulary, check_columns, check_labels, encode_days, late_rows
from ncs.features.growth import grow, largest_ids
from ncs.lake import currency, layout
from ncs.lake.content import content
from ncs.lake.currency import Wanted
from ncs.lake.layout import ALL, Record
from ncs.lake.vocabulary import LARGEST, LINEAGE, lineage
from ncs.lake.writer import replace_all, replace_days
from ncs.tasks import tasks_of

_TEXT = 2
"""The version of how values are written in the vocabulary (`ncs.lake.types.as_text`)."""


def run(job: Job) -> None:
    """Learn the vocabulary if the training days have changed, then encode the days that are not up to date."""
    days = 0
    job.place_window()  # what was labelled since may belong to it
    for _ in range(ROUNDS):
        _check_labels(job.now())
        _learn_vocabulary(job)
        stale = _find_stale(job.now())
        if not stale:
            break
        check_columns(job.table_of(layout.SAMPLES), job.conf.fields, tasks_of(job.conf))
        job.each(partial(_encode, job, stale=stale), stale, "encode")
        days += len(stale)
    job.say(f"encode: {days} days encoded, in {job.lake.uri('gold')}")


def _find_stale(job: Job) -> dict[date, dict[str, Any]]:
    wanted = provenance(job)
    missing = [day for day in job.open_days if day not in wanted]
    if missing:
        raise DataError(f"{layout.SAMPLES} has no day {missing[0]}; run `ncs label --days {missing[0]}` first")
    # The tables hold each other's labels: all must be of the tasks as they are now.
    changed = currency.stale(job.lake, _of_each_task(job, wanted))
    return {day: source for day, source in wanted.items() if str(day) in changed}


def _check_labels(job: Job) -> None:
    """Before anything is written: the columns are there, and the tasks' labels within [0, 1], of all days to encode."""
    labelled = job.lake.records(layout.SAMPLES)
    if any(str(day) not in labelled for day in job.open_days):
        return  # `_find_stale` says so
    if ALL not in job.lake.records(layout.VOCABULARY) or _find_stale(job):
        encoded = {
            date.fromisoformat(day) for task in tasks_of(job.conf).values() for day in job.lake.records(task.table)
        }
        days = {*_asked(job), *encoded} - job.blocked.keys()  # all of them, if the vocabulary changes
        samples = job.table_of(layout.SAMPLES).where(F.col("day").isin(days))
        check_columns(samples, job.conf.fields, tasks_of(job.conf))
        check_labels(samples, tasks_of(job.conf))


def provenance(job: Job) -> dict[date, dict[str, Any]]:
    """What each labelled day's encoded samples would be made from now; nothing while there is no vocabulary.

    Beside the job's days, all that are encoded with an earlier vocabulary: their ids mean other values now.
    """
    vocabulary = job.lake.records(layout.VOCABULARY)
    if ALL not in vocabulary or not job.conf.has_learning_days:
        return {}
    samples = job.lake.records(layout.SAMPLES)
    labels = {task.name: [task.label, task.expression, task.where] for task in tasks_of(job.conf).values()}
    conf, late = digest([job.conf.part("fields", "encode"), job.conf.split.share, labels]), late_rows(job.conf)
    days = sorted({*_asked(job), *_outdated(job)})
    versions = _vocabulary_versions(job, days)
    return {
        day: {
            "conf": conf,
            **({"validation": f"{job.conf.split.hours} hours"} if late and day == late.day else {}),
            "inputs": {layout.VOCABULARY: versions[day], f"{layout.SAMPLES}/{day}": samples[str(day)][0]},
        }
        for day in days
        if str(day) in samples
    }


def _asked(job: Job) -> list[date]:
    """The days to encode: the job's, and those that a window stands on; blocked ones aside."""
    placed = job.conf.learning_days if job.conf.window.train is not None else job.days
    return sorted({*job.open_days, *(day for day in placed if day not in job.blocked)})


def _vocabulary_versions(job: Job, days: Iterable[date]) -> dict[date, int]:
    """The version of the vocabulary that each day is encoded with: its own, as long as that has only grown since."""
    now, newest = lineage(job.lake), job.lake.records(layout.VOCABULARY)[ALL][0]
    records = [job.lake.records(task.table) for task in tasks_of(job.conf).values()]
    versions = {}
    for day in days:
        used = {
            of_task[str(day)][1].provenance["inputs"][layout.VOCABULARY] for of_task in records if str(day) in of_task
        }
        (own,) = used if len(used) == 1 else (newest,)
        versions[day] = own if own <= newest and lineage(job.lake, own) == now else newest
    return versions


def _outdated(job: Job) -> list[date]:
    """The encoded days, held ones aside, whose ids mean other values now.

    A window leaves behind those before it: nothing is trained on them any more.
    """
    first = job.conf.learning_days.first if job.conf.window.train is not None else date.min
    now = lineage(job.lake)
    days = {
        date.fromisoformat(key)
        for task in tasks_of(job.conf).values()
        for key, (_, record) in job.lake.records(task.table).items()
        if lineage(job.lake, record.provenance.get("inputs", {}).get(layout.VOCABULARY, 0)) != now
    }
    return [day for day in days if day >= first and day not in job.blocked]


def vocabulary_from(job: Job) -> dict[str, Any]:
    """What the vocabulary would be learnt from now: the training days that are labelled and not blocked."""
    labelled = job.lake.records(layout.SAMPLES)
    days = [day for day in job.conf.train_days if day not in job.blocked and str(day) in labelled]
    inputs = {f"{layout.SAMPLES}/{day}": labelled[str(day)][0] for day in days}
    return {"conf": digest([job.conf.part("fields"), _TEXT]), "inputs": inputs}


def wanted(job: Job) -> dict[str, Wanted]:
    """What the vocabulary would be learnt from now, and the samples of each task encoded from."""
    if not job.conf.has_learning_days:
        return {}
    return {layout.VOCABULARY: {ALL: vocabulary_from(job)}, **_of_each_task(job, provenance(job))}


def _of_each_task(job: Job, sources: Mapping[date, dict[str, Any]]) -> dict[str, Wanted]:
    encoded: Wanted = {str(day): source for day, source in sources.items()}
    return {task.table: encoded for task in tasks_of(job.conf).values()}


def rebuild_vocabulary(job: Job) -> None:
    """Rebuild the vocabulary from the training days: other ids, so that all encoded days are outdated."""
    job.place_window()
    _learn_vocabulary(job, rebuild=True)


def _learn_vocabulary(job: Job, rebuild: bool = False) -> None:
    days = [day for day in job.conf.train_days if day not in job.blocked]
    if not days:
        raise DataError(f"all training days are blocked: {Days.text(job.blocked)}; nothing to learn from")
    now = job.now()
    wanted = vocabulary_from(now)
    missing = [day for day in days if f"{layout.SAMPLES}/{day}" not in wanted["inputs"]]
    if missing:
        raise DataError(
            f"{layout.SAMPLES} lacks training days {Days.text(missing)}, which the vocabulary is learnt from; "
            f"run `ncs label --days {job.conf.train_days}` first, or shorten logs.days"
        )
    changed = currency.stale(now.lake, {layout.VOCABULARY: {ALL: wanted}})
    done = now.lake.records(layout.VOCABULARY)
    # While a day is blocked its earlier rows stay in gold: the ids in them must go on to mean the same.
    fits = ALL in done and done[ALL][1].provenance.get("conf") == wanted["conf"]
    if not rebuild and (not changed or (job.blocked and fits)):
        return
    samples = job.table_of(layout.SAMPLES).where(F.col("day").isin(days))
    check_columns(samples, job.conf.fields, tasks_of(job.conf))
    if samples.where(F.col("cvr").isNotNull()).isEmpty():
        raise DataError(
            f"{layout.SAMPLES} has no clicked row with a label on the training days {Days.text(days)}; nothing to learn"
        )
    vocabulary = build_vocabulary(samples, job.conf.fields)
    before = done[ALL][1].facts if fits and not rebuild and job.conf.grows_vocabulary else {}
    grows = LINEAGE in before and layout.CHANGED not in before
    if grows:
        known = job.table_of(layout.VOCABULARY)
        vocabulary = grow(known, vocabulary, job.conf.growing_fields, before[LARGEST])
    vocabulary = vocabulary.persist()
    try:
        facts = _vocabulary_facts(job, vocabulary, before if grows else {})
        replace_all(vocabulary, job.lake.uri(layout.VOCABULARY), Record("encode", ALL, wanted, facts))
    finally:
        vocabulary.unpersist()
    how = "grown by" if grows else "learnt on"
    job.say(f"encode: vocabulary of {len(job.conf.fields)} fields {how} {Days.text(days)}")


def _vocabulary_facts(job: Job, vocabulary: DataFrame, before: Mapping[str, Any]) -> dict[str, Any]:
    """What the commit says of a vocabulary; of one that grows, what it has grown from (`ncs.lake.vocabulary`)."""
    facts: dict[str, Any] = {"content": content(vocabulary, "field")}
    if not job.conf.grows_vocabulary:
        return facts
    largest = {**before.get(LARGEST, {}), **largest_ids(vocabulary)}
    largest = {field: max(largest[field], before.get(LARGEST, {}).get(field, 0)) for field in largest}
    return {**facts, LINEAGE: before.get(LINEAGE, digest(facts)), LARGEST: largest}


def encoded(job: Job, days: Collection[date], vocabulary: DataFrame) -> DataFrame:
    """The labelled rows of days as the ids of a vocabulary, by the job's configuration."""
    conf = job.conf
    samples = job.table_of(layout.SAMPLES).where(F.col("day").isin(*days))
    return encode_days(samples, vocabulary, conf.fields, conf.split, conf.encode, late_rows(conf), tasks_of(conf))


def _encode(job: Job, days: Days, stale: Mapping[date, dict[str, Any]]) -> None:
    conf, tasks = job.conf, tasks_of(job.conf)
    rows = encoded(job, list(days), job.table_of(layout.VOCABULARY)).persist()
    try:
        contents = content(rows, "day")
        records = [Record("encode", str(day), stale[day], {"content": contents.get(str(day), "empty")}) for day in days]
        # A commit a task: killed between them, the days are encoded again.
        for task in tasks.values():
            labelled = rows.where(~F.isnan(task.label))
            replace_days(labelled, job.lake.uri(task.table), records, ("day", "split"), conf.encode.rows_per_file)
    finally:
        rows.unpersist()
