"""A day after the other: score it with the models of the day before, then train on it (progressive validation).

The champion and yesterday's candidate predict the day before anything learns from it, so that their figures and the
decision between them are of a day that neither has seen. The model that is trained on it then is the next candidate.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from jobs.job import Job
from jobs.pipeline import daily, drift, predict_days, progress, promote, train
from jobs.pipeline.chosen import Chosen, load
from jobs.pipeline.published import publish
from ncs.days import LONGEST, Days
from ncs.lake import layout
from ncs.lake.layout import Lake
from ncs.lake.registry import CANDIDATE, CHAMPION, ModelRef, Registry
from ncs.lake.tables.registry import RegistryEntry
from ncs.runs.run import Run


def run(job: Job, again: bool = False, promotes: bool = True) -> None:
    """Take each of the job's days that was not taken yet, in order; `again`: each of them.

    Without `promotes` candidates are judged and the champion stays. On Databricks the task values `candidate` and
    `judged` (on the last day) are set for later tasks: RUN_ID/MODEL, "" where there is none.
    """
    for day in job.days:
        taken = _taken(Registry.read(job.lake), day)
        if day in job.conf.window.exclude:
            job.say(f"daily: {day} is left out (window.exclude)")
        elif taken and not again:
            changed = _changed(job.lake, taken)
            note = f"; trained on old rows of {', '.join(changed)}, --again replays it" if changed else ""
            job.say(f"daily: {day} is done, {taken.run_id}/{taken.model}{note}")
        else:
            _take(job, day, promotes)
    registry = Registry.read(job.lake)
    candidate, judged = registry.current(CANDIDATE), _judged(registry, job.days.last)
    _set_task_values(candidate=str(candidate or ""), judged=str(judged or ""))


def _set_task_values(**values: str) -> None:
    """Set task values of a Databricks job, which a later task reads as `{{tasks.<task>.values.<name>}}`."""
    if "DATABRICKS_RUNTIME_VERSION" not in os.environ:
        return
    from databricks.sdk.runtime import dbutils

    for name, value in values.items():
        dbutils.jobs.taskValues.set(key=name, value=value)


def _judged(registry: Registry, day: date) -> ModelRef | None:
    """The candidate until a day was taken, which was judged on it; None: there was none, or the day was not taken."""
    taken, before = _taken(registry, day), None
    for entry in registry.entries:
        if entry is taken:
            return before
        before = ModelRef(entry.run_id, entry.model) if entry.alias == CANDIDATE else before
    return None


def _take(job: Job, day: date, promotes: bool) -> None:
    """Ingest, label, encode, score, judge, train on a day. What a killed call has finished is not done again."""
    of_day = _daily_job(job, day)
    daily.bring_to_gold(of_day)
    of_day.check_blocked(f"{day} is neither scored nor trained on. Deliver it again and run the same command")
    if not of_day.conf.has_learning_days:
        job.say(f"daily: {day} is labelled; {of_day.conf.least_days} days are needed to train on")
        return
    models = [model for model in _in_use(job.lake) if day > model.conf.train_days.last]
    if models:
        predict_days.predict(of_day, models, [day])
        print("\n".join(progress.as_text(progress.evaluate_days(of_day, models, [day]))))
        drift.report(of_day, models, day)
    parent, why = _begin(of_day, _promote(of_day, models, promotes))
    if why:
        of_day.say(f"train: from nothing, {why}")
    train.run(of_day, parent, why)
    _register(of_day, day, parent)


def _daily_job(job: Job, day: date) -> Job:
    """The job of one day: one model, trained on the window that ends with the day."""
    conf = job.conf
    keys: dict[str, Any] = {
        "window.train": conf.window.train or LONGEST,
        "window.test": 0,
        "window.days": None,
        "train.models": [conf.daily.model or conf.train.models[-1]],
    }
    return replace(job, conf=conf.with_keys(keys), days=Days(day, day), until=day, blocked={})


def _in_use(lake: Lake) -> list[Chosen]:
    """The champion and the candidate, as far as there are such."""
    registry = Registry.read(lake)
    named = [registry.current(CHAMPION), registry.current(CANDIDATE)]
    return [load(lake, ref) for ref in dict.fromkeys(ref for ref in named if ref)]


def _promote(job: Job, models: list[Chosen], promotes: bool) -> promote.RefusedError | None:
    """Promote the candidate if the rules allow it, or only judge it; a refusal is an answer, which is shown."""
    registry = Registry.read(job.lake)
    candidate = registry.current(CANDIDATE)
    if candidate == registry.current(CHAMPION) or candidate not in [model.ref for model in models]:
        return None
    try:
        if promotes:
            promote.run(job, CANDIDATE)
        else:
            promote.check(job, CANDIDATE)
            print(f"candidate: {candidate} may be promoted, `ncs promote --model {candidate}`")
    except promote.RefusedError as err:
        print(f"candidate: {err}")
        return err
    return None


def _begin(job: Job, refusal: promote.RefusedError | None) -> tuple[str | None, str | None]:
    """The run to go on from; or None and, where a refusal of the last candidate is the reason, the reason.

    Masks that were found on older days may have aged when their model is worse: the next are searched on the window.
    """
    parent = _parent(job)
    if parent is None or refusal is None or not refusal.worse:
        return parent, None
    return None, f"not going on from {parent}: on {job.days} {'; '.join(refusal.worse)}"


def _parent(job: Job) -> str | None:
    """The run of the day before, to go on from; None: it is time to begin from nothing, as trees always do."""
    if any(map(job.conf.has_trees, job.conf.train.models)):
        return None
    candidate, days = Registry.read(job.lake).current(CANDIDATE), 1
    newest = candidate
    while newest is not None and days < job.conf.daily.scratch_every:
        parent = load(job.lake, newest).described.lineage.parent
        if parent is None:
            break
        newest, days = ModelRef(parent, newest.model), days + 1
    if newest is None or candidate is None or days >= job.conf.daily.scratch_every:
        return None
    known = load(job.lake, candidate).conf.train_days.last
    return candidate.run_id if known < job.conf.train_days.last else None


def _register(job: Job, day: date, parent: str | None) -> None:
    """Make the model that was trained on the day the candidate."""
    this = Run.of(job.conf, job.lake, parent)
    ref, registry = ModelRef(this.run_id, job.conf.train.models[0]), Registry.read(job.lake)
    if registry.current(CANDIDATE) != ref or not _taken(registry, day):
        days = job.conf.learning_days
        evidence = json.dumps({"inputs": job.lake.inputs(layout.SAMPLES, days=days)})
        registry.append(CANDIDATE, "register", ref, f"trained on {days}", day=day, evidence=evidence)
    print(f"candidate: {ref}, trained on {job.conf.learning_days}")
    publish(job, CANDIDATE, ref)


def _taken(registry: Registry, day: date) -> RegistryEntry | None:
    """The entry of the candidate that was trained on the days up to a day; None if the day was not taken yet."""
    registered = [entry for entry in registry.entries if entry.action == "register" and entry.day == day]
    return registered[-1] if registered else None


def _changed(lake: Lake, taken: RegistryEntry) -> list[str]:
    """The days whose samples have been written again since a candidate was trained on them."""
    before: Mapping[str, int] = json.loads(taken.evidence or "{}").get("inputs", {})
    now = {f"{layout.SAMPLES}/{key}": version for key, (version, _) in lake.records(layout.SAMPLES).items()}
    return [part.rpartition("/")[2] for part, version in before.items() if now.get(part) != version]
