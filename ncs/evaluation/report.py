"""The report of a run: one HTML file with everything in it, no network, no scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import yaml

from ncs.config import Config
from ncs.evaluation import charts, page, rankings
from ncs.evaluation.figures import Row, calibration_errors, distributions, forests, prediction_kinds, reliability
from ncs.evaluation.label_days import LabelDays
from ncs.evaluation.mask_maps import mask_maps, subnetworks
from ncs.evaluation.masks import note
from ncs.evaluation.models import TABLE_2, TRUTH, features_in_short, what_it_is
from ncs.evaluation.parts import CALIBRATED
from ncs.evaluation.slices import errors_by_slice
from ncs.evaluation.tables import cells
from ncs.evaluation.trained import budgets, costs, in_words, unequal
from ncs.evaluation.verdict import Evidence, verdict
from ncs.lake.documents import RunDescription
from ncs.lake.tables.rows import Figure
from ncs.metrics import METRICS
from ncs.tasks import CTR, CVR, Task, in_order, named_tasks

ByTask = Mapping[tuple[str, str], Figure]
"""(Model, task) -> its figure in the task's own metric."""


@dataclass(frozen=True)
class Trained:
    """The artefacts of training a model: metrics by epoch, masks, gradient conflicts, facts."""

    metrics: Sequence[Mapping[str, Any]]
    masks: Mapping[str, Any] | None
    conflict: Mapping[str, Any] | None = None
    facts: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Quality:
    """What data validation last said of a table: days by outcome, and what failed."""

    table: str
    passed: int
    warned: int
    blocked: int
    failures: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """The contents of a report.

    Attributes:
        run: the run's own description, `run.json`.
        figures: of every model of the run, and of the truth where it is known.
        trained: the artefacts of training each model.
        labels: the labels of all days.
        tables: versions of the tables that were compared on, beside those that the run was trained on.
        evidence: for the verdict.
        simulation: rows of gold/simulations, if the run's rankings have been simulated.
        slices: rows of gold/slices, if there are such.
        reconciled_days: by day, what labelling says of the rows that came in (the facts of its commit).
        quality: of every table that was validated.
        evaluated: when; None where that is not known.
        links: what there is beside the report, by name: `quality`, `index`.
        saw_erased_users: whether the run was trained on rows of users that have been erased since.
    """

    run: RunDescription
    figures: Sequence[Figure]
    trained: Mapping[str, Trained]
    labels: LabelDays
    tables: Mapping[str, int]
    evidence: Evidence
    simulation: Sequence[rankings.Row] = ()
    slices: Sequence[Row] = ()
    reconciled_days: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    quality: Sequence[Quality] = ()
    evaluated: datetime | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    saw_erased_users: bool = False

    @property
    def models(self) -> list[str]:
        """The models of the run."""
        return list(self.run.models)

    @cached_property
    def conf(self) -> Config:
        """The run's configuration."""
        return self.run.configuration

    @cached_property
    def tasks(self) -> list[Task]:
        """The tasks, in the order of Table 2."""
        return in_order(named_tasks(self.conf).values())

    @cached_property
    def by_task(self) -> ByTask:
        """The figures that the models are compared by."""
        metrics = {task.name: task.metric for task in self.tasks}
        return {(figure.model, figure.task): figure for figure in self.figures if figure.metric == metrics[figure.task]}

    @property
    def compared(self) -> list[str]:
        """The models, and the truth where it is known."""
        return [*self.models, *([TRUTH] if (TRUTH, CTR) in self.by_task else [])]


def render(report: Report) -> str:
    """The page. What comes from data or configuration is escaped; pictures are inline SVG."""
    conf, tasks, models, slices = report.conf, report.tasks, report.models, report.slices
    simulation = report.simulation
    return page.render(
        "report.html",
        run=report.run,
        train_days=conf.train_days,
        test_days=conf.test_days,
        tasks=tasks,
        fields=conf.fields,
        verdict=verdict(report.evidence),
        baseline=report.evidence.baseline,
        facts=_facts(report),
        quality=report.quality,
        links=report.links,
        saw_erased_users=report.saw_erased_users,
        models=_models(report),
        rows=_rows(report),
        others=[{"model": name, "paper": _paper(name)} for name in TABLE_2 if name not in models],
        truth=TRUTH,
        costs=costs({model: trained.metrics for model, trained in report.trained.items()}),
        unequal=_unequal_epochs(report),
        label_rows=report.labels.days,
        log_rows=_log_rows(report.reconciled_days),
        tables={**report.run.lineage.tables, **report.tables},
        conf=yaml.safe_dump(conf.public(), sort_keys=False, allow_unicode=True),
        notes={model: note(trained.masks) for model, trained in report.trained.items() if trained.masks},
        conflicting={model for model, trained in report.trained.items() if trained.conflict},
        **_pictures(report),
        label_charts=charts.labels(report.labels.days, report.labels.histograms),
        rankings=rankings.table(simulation) if simulation else [],
        ranking_chart=rankings.by_day(simulation) if simulation else "",
        ranked_days=max((row["day"] for row in simulation), default=0),
        sample_ratio=next((row["sample_ratio"] for row in simulation), None),
        others_judged=_others(report.figures, report.compared, tasks),
        distributions=distributions(tasks, models, slices),
        predictions=(kinds := prediction_kinds(tasks, slices)),
        reliability=reliability(kinds, models, slices),
        calibration=calibration_errors(kinds, models, slices),
        calibrated=any(kind == CALIBRATED for _, kind in kinds.values()),
        slices=errors_by_slice(tasks, models, slices),
    )


def _facts(report: Report) -> dict[str, str]:
    """The run in short: dates, rows, features."""
    labels, conf, tested = report.labels, report.conf, report.by_task[report.models[0], CTR].n
    set_aside = sum(row["set_aside"] for row in _log_rows(report.reconciled_days))
    facts = {
        "Evaluated": f"{report.evaluated:%Y-%m-%d %H:%M} UTC" if report.evaluated else None,
        "Data": str(conf.logs.days),
        "Impressions": f"{labels.impressions:,}, {tested:,} of them tested on",
        "Users": f"{labels.users:,}" if labels.users else None,
        "Videos": f"{labels.videos:,}" if labels.videos else None,
        "Features": features_in_short(conf),
        "Quarantined": f"{set_aside:,} rows of the logs" if report.reconciled_days else None,
        "Data quality": _quality_in_short(report.quality),
    }
    return {name: value for name, value in facts.items() if value}


def _quality_in_short(quality: Sequence[Quality]) -> str | None:
    if not quality:
        return None
    blocked, warned = sum(table.blocked for table in quality), sum(table.warned for table in quality)
    if blocked or warned:
        return f"{blocked} days blocked, {warned} with warnings"
    return f"{len(quality)} tables passed"


def _rows(report: Report) -> list[dict[str, Any]]:
    """A line a model of the comparison: figures, differences from the baseline, the paper's figures."""
    evidence, measures = report.evidence, [(task.name, task.metric) for task in report.tasks]
    return [
        {
            "model": model,
            "figures": [report.by_task.get((model, task.name)) for task in report.tasks],
            "differences": cells(evidence.differences, model, evidence.baseline, measures),
            "paper": _paper(model),
        }
        for model in report.compared
    ]


def _models(report: Report) -> list[dict[str, Any]]:
    """A line a model: what it is, how large, how long it took."""
    rows = []
    for model, trained in report.trained.items():
        facts = trained.facts or {}
        rows.append(
            {
                "model": model,
                "what": what_it_is(model, report.conf),
                "parameters": facts.get("parameters"),
                "density": facts.get("density"),
                "seconds": facts.get("seconds", sum(line["seconds"] for line in trained.metrics)),
            }
        )
    return rows


def _log_rows(reconciled_days: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """For each day and log how many rows were kept, set aside and why, repeated."""
    return [
        {
            "day": day,
            "log": log,
            "reasons": ", ".join(f"{reason} {count:,}" for reason, count in sorted(reconciled["quarantined"].items())),
            "set_aside": sum(reconciled["quarantined"].values()),
            **{name: reconciled.get(name, 0) for name in ("rows", "kept", "duplicates")},
        }
        for day, facts in sorted(reconciled_days.items())
        for log, reconciled in facts.get("logs", {}).items()
    ]


def _others(figures: Sequence[Figure], models: Sequence[str], tasks: Sequence[Task]) -> dict[str, list[Figure | None]]:
    """Title of a figure that no model is chosen by -> the models' figures, None where a model has none."""
    by_key = {(figure.task, figure.metric, figure.model): figure for figure in figures}
    names = {
        f"{task.name.upper()} {metric.title}": (task.name, metric.name)
        for task in tasks
        for metric in METRICS.values()
        if not metric.judges and not metric.bins_of
    }
    rows = {name: [by_key.get((*key, model)) for model in models] for name, key in names.items()}
    return {name: row for name, row in rows.items() if any(row)}


def _pictures(report: Report) -> dict[str, Any]:
    tasks, trained, evidence = report.tasks, report.trained, report.evidence
    own = {
        model: named_tasks(report.conf.for_model(model)) for model in trained
    }  # a model may weigh its losses otherwise
    weights = {model: {name: task.weight for name, task in mine.items()} for model, mine in own.items()}
    by_name = {task.name: task for task in tasks}
    control = trained.get("full_share")
    dense = control.conflict["final"] if control and control.conflict else {}
    return {
        "forest": forests(
            [(task.title, task.name, task.metric) for task in tasks], evidence.differences, evidence.baseline
        ),
        "curves": charts.learning_curves(tasks, {name: model.metrics for name, model in trained.items()}, weights),
        "masks": {
            name: _mask_pictures(by_name, model.masks, model.conflict, dense)
            for name, model in trained.items()
            if model.masks
        },
    }


def _mask_pictures(
    tasks: Mapping[str, Task], masks: Mapping[str, Any], conflict: Mapping[str, Any] | None, dense: Mapping[str, Any]
) -> list[str]:
    return [
        *charts.pruning(tasks, masks),
        *charts.densities(masks),
        *charts.overlaps(masks),
        *filter(None, [subnetworks(masks)]),
        *mask_maps(masks),
        *(charts.conflicts(conflict, list(masks["rounds"]), dense) if conflict else []),
    ]


def _unequal_epochs(report: Report) -> str:
    """By model, how many epochs its final weights have seen; empty where all have seen as many."""
    by_model = {model: budgets(report.trained[model].metrics, report.conf.for_model(model)) for model in report.models}
    return in_words(by_model) if unequal(by_model) else ""


def _paper(model: str) -> list[dict[str, float]] | None:
    """The paper's figures of a model, and their relative gain: CVR MSE and CTR AUC."""
    if model not in TABLE_2:
        return None
    pairs = ((TABLE_2[model][task], TABLE_2["single_task"][task]) for task in (CVR, CTR))
    return [{"value": value, "gain": value / base - 1} for value, base in pairs]
