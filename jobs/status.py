"""Show each day of each table: rows, version, state, gate, quarantined, when written and from what, whether stale.

    ncs status --conf conf/demo.yaml --lake lake/demo [--days A..B] [--json]

Reads Delta's logs alone, so it takes seconds and starts no JVM. Without --days, every day that a table knows.
Below them stand the predictions and the evaluation of the run that was trained last.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import validation
from jobs import encode, ingest, label
from jobs.cli import main
from jobs.job import Job
from jobs.runs import evaluation_from, predictions_from, run_of
from ncs import config
from ncs.days import Days
from ncs.errors import DataError, NcsError
from ncs.evaluation.parts import slices_of
from ncs.lake import layout, storage
from ncs.lake.erasure import models_with_erased_users
from ncs.lake.layout import ALL
from ncs.lake.status import Part, Wanted, as_text, parts
from ncs.logs.source import open_source
from ncs.tasks import tasks_of
from validation import verdicts
from validation.verdicts import Checked


def run(job: Job) -> None:
    """Print the status, as a table or as JSON."""
    found = status(job)
    print(json.dumps([part.as_json() for part in found], indent=2) if job.options.json else as_text(found))
    marked = models_with_erased_users(job.lake)
    if marked and not job.options.json:
        print(f"\nmodels that have seen users erased since: {', '.join(sorted(marked))}")


def status(job: Job) -> list[Part]:
    """The parts of every table from bronze to the samples of gold, then the newest run's, in the order of the flow."""
    if not job.days_given:
        job.days = _known_days(job)
    checks, found = verdicts.by_day(job.lake), []
    for table, wanted in _wanted(job).items():
        keys = list(dict.fromkeys([*map(str, job.days), *wanted]))
        found += parts(job.lake, table, wanted, keys, _gates(job, table, checks))
    marked = models_with_erased_users(job.lake)
    return [_marked(part) if part.day in marked else part for part in found]


def _marked(part: Part) -> Part:
    return replace(part, stale=[*part.stale, "its model has seen users erased since; run `ncs train`"])


NOT_CHECKED = "not checked"


def _gates(job: Job, table: str, checks: Mapping[tuple[str, str], list[Checked]]) -> dict[str, str]:
    """What the gate said of the rows of each part of a table as they are now; nothing of a table without a suite."""
    if table not in validation.tables(job.conf):
        return {}
    commits = job.lake.commits(table)
    if table == layout.PREDICTIONS:  # kept by run and checked by day
        days = [of_day for (name, _), of_day in checks.items() if name == table]
        return {run: verdicts.of_run(days, commit) or NOT_CHECKED for run, commit in commits.items()}
    found = {key: verdicts.of_rows(checks.get((table, key), []), commit) for key, commit in commits.items()}
    return {key: outcome or NOT_CHECKED for key, outcome in found.items()}


def _known_days(job: Job) -> Days:
    """From the first to the last day of `logs.days` and of the bronze and silver tables."""
    tables = (layout.IMPRESSIONS, layout.SAMPLES)
    days = {date.fromisoformat(key) for table in tables for key in job.lake.records(table)}
    return Days(min({*days, job.days.first}), max({*days, job.days.last}))


def _wanted(job: Job) -> dict[str, Wanted]:
    """Table -> what each of its parts would be made from now."""
    labels: Wanted = {str(day): _of_labels(job, day) for day in job.days}
    vocabulary = encode.vocabulary_from(job)
    encoded: Wanted = {str(day): source for day, source in encode.provenance(job).items()}
    return {
        **{table: _of_log(job, log) for log, table in ingest.TABLES.items()},
        layout.SAMPLES: labels,
        layout.QUARANTINE: _with_quarantine(job, labels),
        layout.VOCABULARY: {ALL: vocabulary},
        **{task.table: encoded for task in tasks_of(job.conf).values()},
        **_of_run(job),
    }


def _with_quarantine(job: Job, labels: Wanted) -> Wanted:
    """The days that are to be in quarantine: a labelled day without a bad row has no commit there."""
    done = job.lake.records(layout.SAMPLES)
    logs = {day: done[day][1].facts.get("logs", {}).values() for day in labels if day in done}
    return {day: wanted for day, wanted in labels.items() if day not in logs or _quarantined(logs[day])}


def _quarantined(logs: Iterable[Mapping[str, Any]]) -> bool:
    return any(sum(log["quarantined"].values()) for log in logs)


def _of_run(job: Job) -> dict[str, Wanted]:
    """What is kept by run, of the one that was trained last; nothing before one was."""
    if not storage.exists(job.lake.uri("models", "latest.json")):
        return {}
    calibrated, run_id = job.conf.calibration is not None, "newest"
    try:
        found, slices = run_of(job.lake, None, verify=False), slices_of(job.lake, job.conf.slices)
        run_id = found["run_id"]
        conf = config.of_run(found)
        predictions = predictions_from(job.lake, found, conf)
        evaluation = evaluation_from(job.lake, found, conf, slices, calibrated)
    except NcsError as err:  # of another version, say: no reason to keep silent about the tables
        return {layout.PREDICTIONS: {run_id: DataError(str(err))}}
    return {layout.PREDICTIONS: {found["run_id"]: predictions}, layout.EVALUATIONS: {found["run_id"]: evaluation}}


def _of_log(job: Job, log: str) -> Wanted:
    source = open_source(job.conf, job.lake)
    found: dict[str, dict[str, Any] | DataError] = {}
    for day in job.days if log in ingest.DAY_LOGS else [None]:
        try:
            found[str(day or ALL)] = ingest.provenance(job, source, log, day)
        except DataError as err:
            found[str(day or ALL)] = err
    return found


def _of_labels(job: Job, day: date) -> "dict[str, Any] | DataError":
    wanted = label.provenance(job, day)
    there = f"{layout.IMPRESSIONS}/{day}" in wanted["inputs"]
    return wanted if there else DataError(f"{layout.IMPRESSIONS} has no such day")


if __name__ == "__main__":
    sys.exit(main(["status", *sys.argv[1:]]))
