"""Give the champion's alias to a model that the rules allow, take it back, show how it went. Starts no Spark."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from jobs.job import Job
from jobs.pipeline.chosen import Chosen, load
from jobs.pipeline.published import publish
from ncs.errors import DataError, GateError
from ncs.evaluation.promotion import TaskEvidence, evidence, refusals, summary, worse
from ncs.lake import layout
from ncs.lake.layout import Lake
from ncs.lake.registry import CANDIDATE, CHAMPION, ModelRef, Registry
from ncs.tasks import CTR, Task, named_tasks
from ncs.text import aligned


class RefusedError(GateError):
    """A candidate that the rules refuse; `worse`: the figures by which it may be worse than the champion, if any."""

    def __init__(self, message: str, worse: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.worse = worse


def run(job: Job, model: str = CANDIDATE, force: bool = False, why: str | None = None) -> None:
    """Promote a model if the rules allow it, or anyway; say what it was judged by.

    Raises RefusedError, which names each rule that it fails, and changes nothing.
    """
    registry = Registry.read(job.lake)
    candidate, champion = load(job.lake, registry.resolve(model)), registry.current(CHAMPION)
    if candidate.ref == champion:
        job.say(f"promote: {champion} is the champion already")
    else:
        action, reason, comparison = _decide(job, candidate, champion, force)
        reference = str(champion) if champion else None
        registry.append(CHAMPION, action, candidate.ref, why or reason, reference=reference, **comparison)
        where = f"{_against(champion)}on {comparison['day']}: " if comparison else ""
        print(f"champion: {candidate.ref}, {where}{reason}")
    publish(job, CHAMPION, candidate.ref)


def check(job: Job, model: str = CANDIDATE) -> None:
    """Raise RefusedError for a model that the rules do not allow to become the champion; nothing is changed."""
    registry = Registry.read(job.lake)
    _decide(job, load(job.lake, registry.resolve(model)), registry.current(CHAMPION), force=False)


def _decide(
    job: Job, candidate: Chosen, champion: ModelRef | None, force: bool
) -> tuple[str, str, dict[str, date | str]]:
    """The registry's action and its reason; `day` and `evidence` of the comparison, nothing if it was not possible.

    Without `force` raises RefusedError where a rule fails, DataError where the models cannot be compared.
    """
    tasks, rules = named_tasks(candidate.conf), job.conf.promote
    try:
        day, by_task = _compare(job, candidate, champion)
    except DataError as err:
        if not force:
            raise
        return "force", f"forced without figures: {err}", {}
    comparison: dict[str, date | str] = {
        "day": day,
        "evidence": json.dumps({name: asdict(own) for name, own in by_task.items()}),
    }
    failed = "; ".join(refusals(tasks, by_task, rules))
    if not failed:
        return "promote", summary(tasks, by_task), comparison
    if force:
        return "force", f"overruled: {failed}", comparison
    raise RefusedError(
        f"{candidate.ref} is not promoted {_against(champion)}on {day}: {failed}. The rules are keys of `promote` in "
        f"the configuration, --force overrules them",
        worse(tasks, by_task, rules),
    )


def _against(champion: ModelRef | None) -> str:
    return f"against {champion} " if champion else ""


def rollback(job: Job, why: str | None = None) -> None:
    """Make the champion before this one the champion again. Raises DataError where there is none, or it is gone."""
    registry = Registry.read(job.lake)
    champions = registry.champions
    if len(champions) < 2:
        there = f"{champions[0]} is the first one" if champions else "there is none yet"
        raise DataError(f"{layout.REGISTRY} has no champion to go back to, {there}; `ncs promote` names another")
    *_, before, now = champions
    load(job.lake, before)  # its files are whole
    registry.append(CHAMPION, "rollback", before, why or f"back from {now}", reference=str(now))
    print(f"champion: {before}, back from {now}")
    publish(job, CHAMPION, before)


def history(job: Job) -> None:
    """Print the registry, an entry a line."""
    lines = [["", "when (UTC)", "alias", "action", "model", "who", "why"]]
    for entry in Registry.read(job.lake).entries:
        when, model = f"{entry.made_at:%Y-%m-%d %H:%M:%S}", f"{entry.run_id}/{entry.model}"
        lines.append([str(entry.sequence), when, entry.alias, entry.action, model, entry.who, entry.why])
    print("\n".join(aligned(lines)))


def _compare(job: Job, candidate: Chosen, champion: ModelRef | None) -> tuple[date, dict[str, TaskEvidence]]:
    """The newest day that both have predicted and not learnt from, and each task's evidence on it."""
    models = [candidate, *([load(job.lake, champion)] if champion else [])]
    days = sorted(set.intersection(*[unseen_days(job.lake, model) for model in models]))
    names = " and ".join(str(model.ref) for model in models)
    if not days:
        raise DataError(
            f"{layout.PREDICTIONS} has no day that {names} {'have both' if champion else 'has'} predicted and not been "
            f"trained on; run `ncs predict --days DAY --model RUN_ID/MODEL` for {'each' if champion else 'it'}"
        )
    day, tasks = days[-1], named_tasks(candidate.conf)
    rows = read_labels(job.lake, day, tasks)
    for n, model in enumerate(models):
        columns = {task.prediction: f"{task.name}#{n}" for task in tasks.values()}
        predicted = read_predictions(job.lake, model, day, list(columns))
        rows = rows.merge(predicted.rename(columns=columns), "inner", "impression_id", validate="one_to_one")
    labels = {name: rows[task.label].to_numpy(np.float64) for name, task in tasks.items()}
    own, *others = ({name: rows[f"{name}#{n}"].to_numpy() for name in tasks} for n in range(len(models)))
    return day, evidence(tasks, labels, own, others[0] if others else None, job.conf.promote)


def unseen_days(lake: Lake, model: Chosen) -> set[date]:
    """The days that a model has predicted and was not trained on; of other models of its run where it has none."""
    if not lake.has(layout.PREDICTIONS):
        return set()
    added = pa.table(lake.table(layout.PREDICTIONS).get_add_actions(flatten=True)).to_pylist()
    days = {
        date.fromisoformat(str(file["partition.day"]))
        for file in added
        if file["partition.run_id"] == model.described.run_id
    }
    return {day for day in days if day > model.conf.train_days.last}


def read_predictions(lake: Lake, model: Chosen, day: date, columns: list[str]) -> pd.DataFrame:
    """A model's predictions of a day: `impression_id` and the columns. Raises DataError if it has none."""
    where = [("run_id", "=", model.described.run_id), ("day", "=", str(day))]
    version = lake.version(layout.PREDICTIONS)
    rows = lake.read(layout.PREDICTIONS, version, ["model", "impression_id", *columns], where).to_pandas()
    rows = rows[rows["model"] == model.model].drop(columns="model")
    if rows.empty:
        raise DataError(
            f"{layout.PREDICTIONS} has nothing of {model.ref} on {day}; "
            f"run `ncs predict --days {day} --model {model.ref}`"
        )
    return rows


def read_labels(lake: Lake, day: date, tasks: dict[str, Task]) -> pd.DataFrame:
    """A day's impressions with the labels of all tasks, NaN where a row has none."""
    table = tasks[CTR].table
    if str(day) not in lake.records(table):
        raise DataError(f"{table} lacks {day}, whose labels are compared with; run `ncs encode --days {day}`")
    columns = ["impression_id", *dict.fromkeys(task.label for task in tasks.values())]
    return lake.read(table, lake.version(table), columns, [("day", "=", str(day))]).to_pandas()
