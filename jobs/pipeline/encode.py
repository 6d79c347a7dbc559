"""Turn samples into inputs: each day's sums, a vocabulary from the training days, each day's samples of each task."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta
from functools import partial
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.job import ROUNDS, Job
from jobs.pipeline.vocabulary import facts as vocabulary_facts
from jobs.pipeline.vocabulary import grows_from, learnt_features, remembered_days, versions_by_day, with_known
from ncs.config import digest
from ncs.days import Days
from ncs.errors import DataError
from ncs.features.earlier import Earlier, check_earlier
from ncs.features.encoding import build_vocabulary, check_columns, check_labels, check_values, encode_days
from ncs.features.split import late_rows
from ncs.kinds.statistics import column_groups, sum_days
from ncs.lake import currency, layout
from ncs.lake.content import content
from ncs.lake.currency import Wanted
from ncs.lake.layout import ALL, Record
from ncs.lake.vocabulary import means_the_same
from ncs.lake.writer import replace_all, replace_days, replace_samples
from ncs.tasks import Task, named_tasks
from ncs.threads import together

_TEXT = 2
"""The version of how values are written in the vocabulary (`ncs.lake.types.as_text`)."""


def run(job: Job) -> None:
    """Learn the vocabulary if the training days have changed, then encode the days that are not up to date.

    Before either, sum the days that statistics are taken from.
    """
    days = 0
    job.place_window()  # what was labelled since may belong to it
    for _ in range(ROUNDS):
        _check_samples(job.now())
        _sum_days(job)
        _learn_vocabulary(job)
        stale = _find_stale(job.now())
        if not stale:
            break
        _check_columns(job, job.read(layout.SAMPLES))
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


def _check_samples(job: Job) -> None:
    """Before anything is written: the columns are there, values and labels as they should be, of all days to encode."""
    labelled = job.lake.records(layout.SAMPLES)
    if any(str(day) not in labelled for day in job.open_days):
        return  # `_find_stale` says so
    if ALL not in job.lake.records(layout.VOCABULARY) or _find_stale(job):
        days = {*_asked(job), *_encoded(job)} - job.blocked.keys()  # all of them, if the vocabulary changes
        samples = job.read(layout.SAMPLES, days=days)
        _check_columns(job, samples)
        check_values(samples, job.conf.features)
        check_labels(samples, named_tasks(job.conf))


def _check_columns(job: Job, samples: DataFrame) -> None:
    check_earlier(samples, job.conf)
    check_columns(samples, job.conf.fields, named_tasks(job.conf))


def provenance(job: Job) -> dict[date, dict[str, Any]]:
    """The provenance that each labelled day's encoded samples would have now; empty while there is no vocabulary.

    Beside the job's days, all that are encoded with an earlier vocabulary: their ids mean other values now.
    """
    vocabulary = job.lake.records(layout.VOCABULARY)
    if ALL not in vocabulary or not job.conf.has_learning_days:
        return {}
    samples = job.lake.records(layout.SAMPLES)
    labels = {task.name: [task.label, task.expression, task.where] for task in named_tasks(job.conf).values()}
    conf = digest([job.conf.part("fields", "encode"), job.conf.split.share, *_looking_back(job), labels])
    late, days = late_rows(job.conf), sorted({*_asked(job), *_outdated(job)})
    versions = versions_by_day(job, days)
    return {
        day: {
            "conf": conf,
            **({"validation": f"{job.conf.split.hours} hours"} if late and day == late.day else {}),
            "inputs": {layout.VOCABULARY: versions[day], **sample_versions([*days_before(job, [day]), day], samples)},
        }
        for day in days
        if str(day) in samples
    }


def _asked(job: Job) -> list[date]:
    """The days to encode: the job's, and those that a window stands on; blocked ones aside."""
    placed = job.conf.learning_days if job.conf.window.train is not None else job.days
    return sorted({*job.open_days, *(day for day in placed if day not in job.blocked)})


def _looking_back(job: Job) -> list[dict[str, Any]]:
    """The configuration of what looks back, if anything does: days of before these inputs stay as they are."""
    parts = job.conf.part("statistics", "history")
    return [parts] if any(parts.values()) else []


def days_before(job: Job, days: Collection[date], statistics_only: bool = False) -> list[date]:
    """The labelled days, blocked ones aside, that rows of some days look back to."""
    conf = job.conf
    reach = [statistics.days for statistics in conf.statistics]
    reach += [] if statistics_only else [history.days for history in conf.history.values()]
    before = {day - timedelta(days=n) for day in days for n in range(1, max(reach, default=0) + 1)}
    labelled = job.lake.records(layout.SAMPLES) if before else {}
    return sorted(day for day in before if str(day) in labelled and day not in job.blocked)


def sample_versions(days: Iterable[date], samples: Mapping[str, tuple[int, Record]]) -> dict[str, int]:
    """The versions of silver/samples that some days were last written in."""
    return {f"{layout.SAMPLES}/{day}": samples[str(day)][0] for day in days}


def _outdated(job: Job) -> list[date]:
    """The encoded days, blocked ones aside, that another vocabulary or a day that they look back to has outdated.

    A window leaves behind those before it: nothing is trained on them any more.
    """
    samples = job.lake.records(layout.SAMPLES)
    first = job.conf.learning_days.first if job.conf.window.train is not None else date.min
    days = set()
    for task in named_tasks(job.conf).values():
        for key, (_, record) in job.lake.records(task.table).items():
            day, inputs = date.fromisoformat(key), record.provenance.get("inputs", {})
            before = sample_versions(days_before(job, [day]), samples)
            others = not means_the_same(job.lake, inputs.get(layout.VOCABULARY, 0))
            if day >= first and (others or any(inputs.get(part) != n for part, n in before.items())):
                days.add(day)
    return [day for day in days if day not in job.blocked]


def vocabulary_provenance(job: Job) -> dict[str, Any]:
    """The provenance that the vocabulary would have now: the training days that are labelled and not blocked.

    With statistics, whose scales are learnt, the days before them too.
    """
    labelled = job.lake.records(layout.SAMPLES)
    days = [day for day in job.conf.train_days if day not in job.blocked and str(day) in labelled]
    before = days_before(job, days, statistics_only=True) if job.conf.statistics else []
    looking_back = [job.conf.part("statistics")] if job.conf.statistics else []
    return {
        "conf": digest([job.conf.part("fields"), *looking_back, _TEXT]),
        "inputs": sample_versions(sorted({*days, *before}), labelled),
    }


def sums_provenance(job: Job) -> dict[str, dict[str, Any]]:
    """The provenance that the daily sums would have now, for the days that statistics are taken from."""
    if not job.conf.statistics:
        return {}
    labelled = job.lake.records(layout.SAMPLES)
    days = days_before(job, {*job.open_days, *job.conf.train_days, *_encoded(job)}, statistics_only=True)
    conf = digest(column_groups(job.conf.statistics))
    return {str(day): {"conf": conf, "inputs": sample_versions([day], labelled)} for day in days}


def _encoded(job: Job) -> set[date]:
    return {day for task in named_tasks(job.conf).values() for day in job.lake.days(task.table)}


def wanted(job: Job) -> dict[str, Wanted]:
    """The provenance that the sums, the vocabulary and the samples of each task would have now."""
    if not job.conf.has_learning_days:
        return {}
    return {
        layout.DAILY_STATISTICS: sums_provenance(job),
        layout.VOCABULARY: {ALL: vocabulary_provenance(job)},
        **_of_each_task(job, provenance(job)),
    }


def _of_each_task(job: Job, sources: Mapping[date, dict[str, Any]]) -> dict[str, Wanted]:
    encoded: Wanted = {str(day): source for day, source in sources.items()}
    return {task.table: encoded for task in named_tasks(job.conf).values()}


def _sum_days(job: Job) -> None:
    """Sum the days that statistics are taken from, where their samples or the statistics have changed."""
    now = job.now()
    wanted = sums_provenance(now)
    stale = {date.fromisoformat(day) for day in currency.stale(now.lake, {layout.DAILY_STATISTICS: wanted})}
    groups = column_groups(job.conf.statistics)

    def write(days: Days) -> None:
        samples = job.read(layout.SAMPLES, days=days)
        records = [Record("encode", str(day), wanted[str(day)]) for day in days]
        replace_days(sum_days(samples, groups), job.lake.uri(layout.DAILY_STATISTICS), records)

    if stale:
        _check_columns(job, job.read(layout.SAMPLES))
        job.each(write, stale, "sum")


def earlier(job: Job, days: Collection[date], drawn: bool = False) -> Earlier:
    """What the rows of some days look back to; `drawn`: rows that are none of silver/samples."""
    before = days_before(job, days)
    further = [day for day in before if day not in days]
    single_rows = job.conf.history or any(statistics.lag_hours is not None for statistics in job.conf.statistics)
    return Earlier(
        job.conf,
        days,
        job.read(layout.DAILY_STATISTICS, days=before) if job.conf.statistics and before else None,
        job.read(layout.SAMPLES, days=further) if further and single_rows else None,
        job.read(layout.SAMPLES, days=days),
        drawn,
    )


def rebuild_vocabulary(job: Job) -> None:
    """Rebuild the vocabulary from the training days, and those before that `window.forget_days` remembers.

    Values get other ids, so that all encoded days are outdated.
    """
    job.place_window()
    _sum_days(job)
    _learn_vocabulary(job, rebuild=True)


def _learn_vocabulary(job: Job, rebuild: bool = False) -> None:
    days = [day for day in job.conf.train_days if day not in job.blocked]
    if not days:
        raise DataError(f"all training days are blocked: {Days.text(job.blocked)}; nothing to learn from")
    now = job.now()
    wanted = vocabulary_provenance(now)
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
    if rebuild:
        days = sorted({*days, *remembered_days(job, days[-1])})
    samples = job.read(layout.SAMPLES, days=days)
    _check_columns(job, samples)
    if samples.where(F.col("cvr").isNotNull()).isEmpty():
        raise DataError(
            f"{layout.SAMPLES} has no clicked row with a label on the training days {Days.text(days)}; nothing to learn"
        )
    before = None if rebuild or ALL not in done else grows_from(job, done[ALL][1], wanted["conf"])
    learnt, reports = build_vocabulary(samples, learnt_features(job, before), earlier(job, days).with_statistics)
    vocabulary = with_known(job, learnt, before).persist()
    try:
        record = Record("encode", ALL, wanted, vocabulary_facts(job, vocabulary, before))
        replace_all(vocabulary, job.lake.uri(layout.VOCABULARY), record)
    finally:
        vocabulary.unpersist()
    how = "learnt on" if before is None else "grown by"
    job.say(f"encode: vocabulary of {len(job.conf.fields)} fields {how} {Days.text(days)}")
    for text in reports:
        job.say(f"encode: {text}")


def encoded(job: Job, days: Collection[date], vocabulary: DataFrame) -> DataFrame:
    """The labelled rows of days as a vocabulary encodes them, by the job's configuration."""
    conf, samples = job.conf, job.read(layout.SAMPLES, days=days)
    looked = earlier(job, days).join(samples, vocabulary)
    return encode_days(looked, vocabulary, conf.features, conf.split, conf.encode, late_rows(conf), named_tasks(conf))


def _encode(job: Job, days: Days, stale: Mapping[date, dict[str, Any]]) -> None:
    tasks, rows = named_tasks(job.conf), encoded(job, list(days), job.read(layout.VOCABULARY)).persist()
    try:
        contents = content(rows, "day")
        records = [Record("encode", str(day), stale[day], {"content": contents.get(str(day), "empty")}) for day in days]

        def write(task: Task) -> None:
            labelled, labels = rows.where(~F.isnan(task.label)), [each.label for each in tasks.values()]
            replace_samples(labelled, job.lake.uri(task.table), records, labels, job.conf.encode.rows_per_file)

        together(write, tasks.values())  # a commit a task: killed between them, the days are encoded again
    finally:
        rows.unpersist()
