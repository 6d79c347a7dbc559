"""How far a day is from those before: its inputs by the gates' bands, models' scores and calibration. No Spark.

Scores are compared with those that the model gave its validation rows, on rows that have the task's label; both by the
population stability index over deciles, as the gates take it.
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

import numpy as np
import pandas as pd

from jobs.job import Job
from jobs.pipeline.chosen import Chosen
from jobs.pipeline.promote import read_labels, read_predictions
from ncs.config import Config
from ncs.errors import NcsError
from ncs.evaluation.intervals import Z95
from ncs.lake import layout
from ncs.lake.layout import Lake
from ncs.tasks import Task, named_tasks
from validation import bands
from validation.psi import psi

_STEPS = 200
"""Quantiles that stand for a distribution."""
_INPUTS = ("psi", "new_ids")


class ScoreDrift(NamedTuple):
    """A model's scores of a task on the labelled rows of a day."""

    model: str
    task: Task
    psi: float | None
    """From the scores of its validation rows; None: too few rows, or a run that has not kept them."""
    calibration: float
    """Mean prediction less mean label, as a share of the mean label; with the ends of its 95 % interval."""
    low: float
    high: float

    def text(self, conf: Config) -> str:
        """In one line, with the bands that it leaves."""
        moved = "no scores to compare with" if self.psi is None else f"PSI {self.psi:.3f}"
        if self.psi is not None and self.psi > conf.gates.learnt.psi:
            moved += f", above gates.learnt.psi {conf.gates.learnt.psi:g}"
        off = f"calibration {self.calibration:+.1%} ({self.low:+.1%} to {self.high:+.1%})"
        if min(abs(self.low), abs(self.high)) > conf.promote.max_calibration and self.low * self.high > 0:
            off += f", beyond promote.max_calibration {conf.promote.max_calibration:.0%}"
        return f"{self.model}: {self.task.name.upper()} scores {moved}; {off}"


def report(job: Job, models: Sequence[Chosen], day: date) -> None:
    """Say how the day's inputs and the models' scores differ from those before."""
    outside, taken = inputs(job, day)
    if outside:
        job.say(f"drift: inputs of {day}: {'; '.join(outside)}")
    elif taken:
        job.say(f"drift: inputs of {day}: {taken} figures within their bands (gates.learnt)")
    for model in models:
        for score in scores(job.lake, model, day):
            job.say(f"drift: {score.text(job.conf)}")


def inputs(job: Job, day: date) -> tuple[list[str], int]:
    """The figures of the day's columns that leave the bands of the days before, and how many have a band."""
    facts = bands.facts_by_day(job.lake.records(layout.SAMPLES), job.conf.fields)
    learnt = bands.learn(facts, job.conf.gates.learnt).get(day, {})
    of_inputs = {name: band for name, band in learnt.items() if bands.figure_kind(name) in _INPUTS}
    outside = [
        f"{name} {band.value:.3f}, up to {band.high:.3f} expected" for name, band in of_inputs.items() if not band.holds
    ]
    return outside, len(of_inputs)


def scores(lake: Lake, model: Chosen, day: date) -> Iterator[ScoreDrift]:
    """Each task's drift of a model that has predicted the day."""
    tasks = named_tasks(model.conf)
    predicted = read_predictions(lake, model, day, [task.prediction for task in tasks.values()])
    rows = read_labels(lake, day, tasks).merge(predicted, "inner", "impression_id", validate="one_to_one")
    for task in tasks.values():
        labelled = rows[rows[task.label].notna()]
        mean = labelled[task.label].mean() if len(labelled) > 1 else 0.0
        if mean > 0:
            error = (labelled[task.prediction] - labelled[task.label]) / mean
            half = Z95 * error.std() / len(error) ** 0.5
            off, moved = float(error.mean()), _moved(lake, model, task, labelled)
            yield ScoreDrift(str(model.ref), task, moved, off, off - half, off + half)


def _moved(lake: Lake, model: Chosen, task: Task, rows: pd.DataFrame) -> float | None:
    from ncs.runs.predictor import validation_rows  # torch, which promotion alone does not need

    try:
        _, before = validation_rows(lake.uri("models", model.ref.run_id, model.key), task.name)
    except NcsError:
        return None
    return psi(task.name, _profile(task.name, rows[task.prediction].to_numpy()), [_profile(task.name, before)])


def _profile(name: str, values: np.ndarray) -> dict[str, dict[str, dict[str, object]]]:
    """A distribution as `validation.psi` reads it."""
    quantiles = np.quantile(values, (np.arange(_STEPS) + 0.5) / _STEPS).tolist()
    return {"quantiles": {name: {"rows": len(values), "values": quantiles}}}
