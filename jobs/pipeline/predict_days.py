"""Score any labelled days with any kept model: the rows are encoded as the model learnt them, whatever gold has now."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pyarrow  # noqa: F401  (before torch: the other order has crashed)
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.job import Job
from jobs.pipeline.chosen import Chosen, choose, load
from jobs.pipeline.encode import encoded
from jobs.pipeline.runs import latest_run
from ncs.config import Config
from ncs.days import Days
from ncs.errors import DataError
from ncs.evaluation.scoring import score
from ncs.lake import layout
from ncs.lake.currency import stale
from ncs.lake.documents import RunDescription
from ncs.lake.layout import Lake, Record
from ncs.lake.registry import ModelRef
from ncs.lake.writer import replace_models
from ncs.tasks import CTR, named_tasks

if TYPE_CHECKING:
    from ncs.runs.predictor import Predictor

_FEW = 200_000
"""Impressions that are scored in this process: it has torch loaded, and they are some MB."""


def run(job: Job, model: str | None) -> None:
    """Score the job's days with a model, by default all of the newest run's, where that is not done already."""
    chosen = models(job.lake, model)
    predict(job, chosen, days_for(job, chosen[0]))


def models(lake: Lake, model: str | None) -> list[Chosen]:
    """The model that is named, or all of the newest run."""
    if model is not None:
        return [choose(lake, model)]
    newest = latest_run(lake)
    return [load(lake, ModelRef(newest.run_id, name)) for name in newest.models]


def days_for(job: Job, model: Chosen) -> list[date]:
    """The days that were asked for; by default the model's test days or, without such, the last that is labelled."""
    if job.days_given:
        return list(job.days)
    if model.conf.test_length:
        return list(model.conf.test_days)
    return [max(job.lake.days(layout.SAMPLES))]


def predict(job: Job, chosen: Sequence[Chosen], days: Sequence[date]) -> None:
    """Score days with models, of several runs maybe, where it is not done. Raises DataError for an unlabelled day."""
    now = job.now().lake
    wanted = {key(model.ref, day): provenance(now, model, day) for model in chosen for day in days}
    missing = sorted({day for day in days if str(day) not in now.records(layout.SAMPLES)})
    if missing:
        raise DataError(f"{layout.SAMPLES} has no day {Days.text(missing)}; run `ncs label --days {missing[0]}` first")
    changed = stale(now, {layout.PREDICTIONS: wanted})
    for _, of_run in groupby(chosen, key=lambda model: model.described.run_id):
        members = [model for model in of_run if any(key(model.ref, day) in changed for day in days)]
        open_days = [day for day in days if any(key(model.ref, day) in changed for model in members)]
        if members:
            _score(job, members, open_days, wanted)
    done = len(wanted) - len(changed)
    before = f" ({done} of {len(wanted)} before)" if done else ""
    job.say(f"predict: {Days.text(days)} scored by {', '.join(str(each.ref) for each in chosen)}{before}")


def key(ref: ModelRef, day: date) -> str:
    """The key of the record of a model's predictions of a day."""
    return f"{ref}/{day}"


def provenance(lake: Lake, model: Chosen, day: date) -> dict[str, Any]:
    """The provenance of a model's predictions of a day: the model, its tables, the day's samples."""
    return {
        "models": [model.key],
        "tables": model.described.lineage.tables,
        "inputs": lake.inputs(layout.SAMPLES, days=Days(day, day)),
    }


def predictions_version(lake: Lake, model: Chosen, day: date) -> int | None:
    """The version of `gold/predictions` that wrote a model's predictions of a day; None: it has none."""
    records = lake.records(layout.PREDICTIONS)
    run_id = model.described.run_id
    of_run = [run_id] if model.conf.test_length and day in model.conf.test_days else []
    keys = [key(model.ref, day), *of_run]
    versions = [records[each][0] for each in keys if each in records]
    return max(versions, default=None)


def _score(job: Job, members: Sequence[Chosen], days: Sequence[date], wanted: dict[str, dict[str, Any]]) -> None:
    """Score days with models of one run, which share its configuration and vocabulary."""
    from ncs.runs.predictor import Predictor

    first = members[0]
    described, conf = first.described, first.conf
    run_id, folder = described.run_id, job.lake.uri("models", described.run_id)
    scorers = {member.model: Predictor.load(folder, member.model, conf, described.sizes) for member in members}
    rows = encoded_for(job, described, conf, days)
    scored = predictions(job, rows, conf, run_id, scorers, days)
    keys = [key(member.ref, day) for member in members for day in days]
    records = [Record("predict", name, wanted[name]) for name in keys]
    replace_models(scored, job.lake.uri(layout.PREDICTIONS), records, run_id, list(scorers), days)


def predictions(
    job: Job, rows: DataFrame, conf: Config, run_id: str, scorers: "Mapping[str, Predictor]", days: Collection[date]
) -> DataFrame:
    """Rows of gold/predictions from the days' encoded rows, by each of a run's models."""
    tasks = named_tasks(conf)
    who = job.read(layout.SAMPLES, days=days).select("impression_id", "user_id", "video_id", "day")
    by_day = job.lake.rows_by_day(layout.SAMPLES, job.lake.version(layout.SAMPLES))
    few = sum(by_day.get(str(day), 0) for day in days) <= _FEW
    return (
        score(rows, conf.layout, scorers, tasks, few)
        .join(who, "impression_id")
        .select(
            F.lit(run_id).alias("run_id"), "model", "impression_id", "user_id", "video_id", "day",
            *(task.prediction for task in tasks.values()),
        )
    )  # fmt: skip


def encoded_for(job: Job, described: RunDescription, conf: Config, days: Collection[date]) -> DataFrame:
    """The days' impressions as ids of the vocabulary that a run was trained with."""
    version = described.lineage.tables[layout.VOCABULARY]
    job.lake.table(layout.VOCABULARY, version)  # or a line that says that it is gone
    rows = encoded(replace(job, conf=conf), days, job.read(layout.VOCABULARY, version))
    return rows.where(~F.isnan(named_tasks(conf)[CTR].label))
