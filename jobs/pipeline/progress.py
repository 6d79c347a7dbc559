"""Figures of kept models on single days that they were not trained on: rows of gold/progress, with intervals."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import date
from typing import Any

from pyspark.sql import functions as F

from jobs.job import Job
from jobs.pipeline.chosen import Chosen
from jobs.pipeline.predict_days import days_for, key, models, predictions_version
from ncs.days import Days
from ncs.errors import DataError
from ncs.evaluation.metrics import evaluate
from ncs.features.encoding import label_column
from ncs.lake import layout
from ncs.lake.currency import stale
from ncs.lake.layout import Lake, Record
from ncs.lake.tables import declared_table
from ncs.lake.tables.registry import DayFigure
from ncs.lake.writer import replace_figures
from ncs.metrics import METRICS
from ncs.tasks import named_tasks
from ncs.text import aligned
from ncs.threads import together


def run(job: Job, model: str | None) -> None:
    """Evaluate a model, by default all of the newest run's, on each of the job's days; print the figures."""
    chosen = models(job.lake, model)
    print("\n".join(as_text(evaluate_days(job, chosen, days_for(job, chosen[0])))))


def evaluate_days(job: Job, chosen: Sequence[Chosen], days: Sequence[date]) -> list[DayFigure]:
    """Each model's figures on each day, computed where they are not there already.

    Raises DataError for a day that a model has not predicted, or was trained on.
    """
    for day in days:
        now = job.now().lake
        wanted = {key(model.ref, day): provenance(now, model, day) for model in chosen}
        changed = stale(now, {layout.PROGRESS: wanted})
        pending = [model for model in chosen if key(model.ref, day) in changed]
        if pending:
            keys = [key(model.ref, day) for model in pending]
            _write(job, pending, day, [Record("evaluate", each, wanted[each]) for each in keys])
    return read(job.lake, chosen, days)


def provenance(lake: Lake, model: Chosen, day: date) -> dict[str, Any]:
    """The provenance of a model's figures of a day: its predictions and the labels."""
    if day <= model.conf.train_days.last:
        raise DataError(
            f"{model.ref} was trained on days up to {model.conf.train_days.last}, so {day} says nothing of it; "
            f"name a later day, or a model of a run before"
        )
    version = predictions_version(lake, model, day)
    if version is None:
        raise DataError(
            f"{layout.PREDICTIONS} has nothing of {model.ref} on {day}; "
            f"run `ncs predict --days {day} --model {model.ref}`"
        )
    inputs = {f"{layout.PREDICTIONS}/{key(model.ref, day)}": version}
    return {"model": model.key, "inputs": inputs | lake.inputs(layout.SAMPLES, days=Days(day, day))}


def read(lake: Lake, chosen: Sequence[Chosen], days: Sequence[date]) -> list[DayFigure]:
    """The figures that are there of models on days, by day, those first that models are compared by."""
    columns = [field.name for field in fields(DayFigure) if field.name != "day"]
    wanted = {(model.described.run_id, model.model): n for n, model in enumerate(chosen)}
    figures: list[DayFigure] = []
    for day in days:
        rows = lake.read(layout.PROGRESS, lake.version(layout.PROGRESS), columns, [("day", "=", str(day))])
        of_day = [DayFigure(day=day, **row) for row in rows.to_pylist() if (row["run_id"], row["model"]) in wanted]
        figures += sorted(of_day, key=lambda figure: (wanted[figure.run_id, figure.model], figure.task, figure.metric))
    return figures


def as_text(figures: Sequence[DayFigure]) -> list[str]:
    """A line a day, model, task and metric, with its interval."""
    lines = [["day", "model", "metric", "value", "95 % interval", "rows"]]
    lines += [
        [
            str(figure.day),
            f"{figure.run_id}/{figure.model}",
            f"{figure.task.upper()} {METRICS[figure.metric].title}",
            f"{figure.value:.5f}",
            f"{figure.ci_low:.5f} .. {figure.ci_high:.5f}",
            f"{figure.n:,}",
        ]
        for figure in figures
    ]
    return aligned(lines)


def _write(job: Job, models: Sequence[Chosen], day: date, records: Sequence[Record]) -> None:
    """Compute models' figures of a day side by side; put them in the place of those that were there in one commit."""
    job.spark  # noqa: B018  (one session, made before threads ask for it)
    rows = [row for of_model in together(lambda model: _evaluate(job, model, day), models) for row in of_model]
    frame = job.spark.createDataFrame([asdict(row) for row in rows], declared_table(layout.PROGRESS).ddl)
    of = [(model.ref.run_id, model.model) for model in models]
    replace_figures(frame, job.lake.uri(layout.PROGRESS), records, of, day)
    for model in models:
        job.say(f"evaluate: {model.ref} on {day}, in {job.lake.uri(layout.PROGRESS)}")


def _evaluate(job: Job, model: Chosen, day: date) -> list[DayFigure]:
    """A model's figures of a day, computed from its predictions and the labels."""
    run_id, tasks = model.described.run_id, list(named_tasks(model.conf).values())
    of_model = (F.col("run_id") == run_id) & (F.col("model") == model.model)
    columns = ["impression_id", "model", *(task.prediction for task in tasks)]
    predictions = job.read(layout.PREDICTIONS, days=[day]).where(of_model).select(*columns)
    labels = [label_column(task).alias(task.label) for task in tasks]
    samples = job.read(layout.SAMPLES, days=[day])
    # A left join: predictions without a sample are counted and refused, not lost.
    scored = predictions.join(samples.select("impression_id", "user_id", *labels), "impression_id", "left")
    figures = evaluate(scored, run_id, [model.model], tasks).figures
    until = model.conf.train_days.last
    return [
        DayFigure(day, run_id, f.model, f.task, f.metric, f.value, f.ci_low, f.ci_high, f.n, until) for f in figures
    ]
