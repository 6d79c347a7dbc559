"""The page of a run: written when it is evaluated, and again whenever there is more to show."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import ncs
from jobs.job import Job
from ncs.config import Config
from ncs.days import Days
from ncs.evaluation import index, rankings, report
from ncs.evaluation.index import Entry
from ncs.evaluation.label_days import label_days
from ncs.evaluation.mask_maps import subnetworks
from ncs.evaluation.report import Quality
from ncs.evaluation.verdict import Evidence, verdict
from ncs.lake import layout, storage
from ncs.lake.documents import Conflict, Epoch, Facts, Masks, RunDescription
from ncs.lake.erasure import models_with_erased_users
from ncs.lake.layout import Lake
from ncs.lake.tables.rows import Figure
from validation import quality_page, verdicts

_SHAPES: dict[str, Any] = {"masks": Masks, "conflict": Conflict, "facts": Facts}


def page_path(lake: Lake, run_id: str) -> str:
    """The path of a run's page."""
    return lake.uri("reports", run_id, "report.html")


def write(
    job: Job,
    run: RunDescription,
    trained: Mapping[str, report.Trained],
    figures: Sequence[Figure],
    evidence: Evidence,
    inputs: dict[str, int],
) -> None:
    """Write the page, unless the one that is there has the same inputs; list it in the index.

    Args:
        job: on the lake.
        run: the run's own description, `run.json`.
        trained: the artefacts of training each model.
        figures: of gold/evaluations.
        evidence: for the verdict.
        inputs: the partitions that the models were compared on, with their versions.
    """
    run_id, conf = run.run_id, run.configuration
    simulation = rankings.newest(job.lake.rows_of_run(layout.SIMULATIONS, run_id))
    commit = job.lake.commits(layout.EVALUATIONS)[run_id]
    checked = quality(job.lake, conf)
    provenance = {
        "ncs": ncs.__version__,
        "evaluation": commit.version,
        "simulation": simulation[0]["simulation_id"] if simulation else None,
        "quality": [asdict(table) for table in checked],
    }
    if evidence.champion or evidence.champion_note:
        provenance["champion"] = evidence.champion_note or evidence.champion
    saw_erased_users = run_id in models_with_erased_users(job.lake)
    if saw_erased_users:
        provenance["saw_erased_users"] = True
    path, note = page_path(job.lake, run_id), job.lake.uri("reports", run_id, "provenance.json")
    if storage.exists(path) and storage.derived_json(note) == provenance:
        return
    days = conf.learning_days
    page = report.render(
        report.Report(
            run,
            figures,
            trained,
            labels=label_days(job.read(layout.SAMPLES, days=days)),
            tables=_newest(inputs),
            evidence=evidence,
            simulation=simulation,
            slices=job.lake.rows_of_run(layout.SLICES, run_id),
            reconciled_days=_reconciled(job.lake, days),
            quality=checked,
            evaluated=commit.written,
            links=_links(job.lake),
            saw_erased_users=saw_erased_users,
        )
    )
    storage.write_bytes(path, page.encode())
    for picture in (subnetworks(own.masks) for own in trained.values() if own.masks):
        if picture:  # of the first model with masks, to be shown elsewhere
            storage.write_bytes(job.lake.uri("reports", run_id, "subnetworks.svg"), picture.encode())
            break
    headline = verdict(evidence).headline
    detail = f"{', '.join(run.models)}; tested on {conf.test_days}"
    index.add(job.lake, Entry(index.RUN, run_id, commit.written, f"{run_id}/report.html", headline, detail))
    storage.write_json(note, provenance)


def quality(lake: Lake, conf: Config) -> list[Quality]:
    """What validation last said of each table, over the days of a run's logs."""
    days, tables = {*map(str, conf.logs.days), layout.ALL}, []
    newest = verdicts.newest_rows(lake)
    for table in dict.fromkeys(table for table, _ in newest):
        rows = [row for (name, day), row in newest.items() if name == table and day in days]
        outcomes = [row.outcome for row in rows]
        # The rule alone: what was found may name rows, and the pages of the checks show it.
        failures = dict.fromkeys(text.partition("; found")[0] for row in rows for text in row.failures)
        if rows:
            passed, warned, blocked = (outcomes.count(outcome) for outcome in ("pass", "warn", "stop"))
            tables.append(Quality(table, passed, warned, blocked, list(failures)))
    return tables


def _reconciled(lake: Lake, days: Days) -> dict[str, dict[str, Any]]:
    """Day -> what the commit of its samples says of the logs' rows."""
    records = lake.records(layout.SAMPLES)
    return {key: record.facts for key, (_, record) in records.items() if date.fromisoformat(key) in days}


def _links(lake: Lake) -> dict[str, str]:
    """The pages beside a report, relative to it."""
    has_quality = storage.exists(quality_page.uri(lake))
    return {"index": index.LINK, **({"quality": "../../validation/quality.html"} if has_quality else {})}


def trained(lake: Lake, run_id: str, models: dict[str, str]) -> dict[str, report.Trained]:
    """The artefacts of training each model: metrics by epoch, masks and conflicts where it has them."""
    by_model = {}
    for model, key in models.items():
        folder = lake.uri("models", run_id, key)
        remedy = f"restore it, or remove {folder} and run `ncs train`"
        lines = storage.read_json_lines(storage.join(folder, "metrics.jsonl"), Epoch, remedy)
        kept = {name: storage.join(folder, f"{name}.json") for name in _SHAPES}
        artefacts = {
            name: storage.read_json(path, _SHAPES[name], remedy) if storage.exists(path) else None
            for name, path in kept.items()
        }
        by_model[model] = report.Trained(lines, **artefacts)
    return by_model


def _newest(inputs: dict[str, int]) -> dict[str, int]:
    """Table -> the newest version of any of its parts that was read."""
    tables: dict[str, int] = {}
    for part, version in inputs.items():
        table = part.rpartition("/")[0]
        tables[table] = max(version, tables.get(table, version))
    return tables
