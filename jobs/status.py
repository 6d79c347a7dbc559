"""Show each day of each table: rows, version, state, gate, quarantined, when written and from what, whether stale.

    ncs status --conf conf/demo.yaml --lake lake/demo [--days A..B] [--json]

Reads Delta's logs alone, so it takes seconds and starts no JVM. Without --days, every day that a table knows.
Below them stand the predictions and the evaluation of the run that was trained last.
"""

import json
import sys
from datetime import date
from typing import Any

from jobs import encode, ingest, label
from jobs.cli import main
from jobs.job import Job
from jobs.runs import evaluation_from, predictions_from, run_of
from ncs import config
from ncs.days import Days
from ncs.errors import DataError, NcsError
from ncs.evaluation.parts import slices_of
from ncs.lake import layout, storage
from ncs.lake.layout import ALL
from ncs.lake.status import Part, Wanted, as_text, parts
from ncs.logs.source import open_source
from ncs.tasks import tasks_of
from validation import verdicts


def run(job: Job) -> None:
    """Print the status, as a table or as JSON."""
    found = status(job)
    print(json.dumps([part.as_json() for part in found], indent=2) if job.options.json else as_text(found))


def status(job: Job) -> list[Part]:
    """The parts of every table from bronze to the samples of gold, then the newest run's, in the order of the flow."""
    if not job.days_given:
        job.days = _known_days(job)
    gates = verdicts.newest(job.lake) | _gates_of_runs(job)
    found = []
    for table, wanted in _wanted(job).items():
        keys = list(dict.fromkeys([*map(str, job.days), *wanted]))
        passed = {key: gates[table, key] for key in keys if (table, key) in gates}
        found += parts(job.lake, table, wanted, keys, passed)
    return found


def _gates_of_runs(job: Job) -> dict[tuple[str, str], verdicts.Outcome]:
    """Predictions are kept by run and judged by day: the verdict on the version that a run has written."""
    table, written = layout.PREDICTIONS, job.lake.records(layout.PREDICTIONS)
    judged = verdicts.by_version(job.lake, table)
    return {(table, run): judged[version] for run, (version, _) in written.items() if version in judged}


def _known_days(job: Job) -> Days:
    """From the first to the last day of `logs.days` and of the bronze and silver tables."""
    tables = (layout.IMPRESSIONS, layout.SAMPLES)
    days = {date.fromisoformat(key) for table in tables for key in job.lake.records(table)}
    return Days(min({*days, job.days.first}), max({*days, job.days.last}))


def _wanted(job: Job) -> dict[str, Wanted]:
    """Table -> what each of its parts would be made from now."""
    labels = {str(day): _of_labels(job, day) for day in job.days}
    vocabulary = encode.vocabulary_from(job)
    encoded: Wanted = {str(day): source for day, source in encode.provenance(job).items()}
    return {
        **{table: _of_log(job, log) for log, table in ingest.TABLES.items()},
        layout.SAMPLES: labels,
        layout.QUARANTINE: labels,
        layout.VOCABULARY: {ALL: vocabulary},
        **{task.table: encoded for task in tasks_of(job.conf).values()},
        **_of_run(job),
    }


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
