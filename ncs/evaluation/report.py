"""The report of a run: one HTML file with everything in it, no network, no scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import yaml
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncs import config
from ncs.config import Config
from ncs.evaluation import charts, rankings, reliability
from ncs.evaluation.mask_maps import mask_maps, subnetworks
from ncs.evaluation.metrics import TRUTH
from ncs.evaluation.paper import TABLE_2
from ncs.evaluation.parts import CALIBRATED
from ncs.evaluation.slices import errors_by_slice
from ncs.evaluation.table import gain
from ncs.lake.tables.rows import Figure
from ncs.metrics import METRICS
from ncs.soundness import WORDS, Soundness, judge_figure, unsound
from ncs.tasks import CTR, CVR, Task, in_order, tasks_of

BINS = 20

ByTask = Mapping[tuple[str, str], Figure]
"""(Model, task) -> its figure in the task's own metric."""


@dataclass(frozen=True)
class Trained:
    """What training has left of a model: metrics by epoch; of masks, `masks.json` and `conflict.json`; facts."""

    metrics: Sequence[Mapping[str, Any]]
    masks: Mapping[str, Any] | None
    conflict: Mapping[str, Any] | None = None
    facts: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class LabelDays:
    """Labels by day; and, by day, how many CVR labels fall into each of `BINS` bins of [0, 1]."""

    days: Sequence[Mapping[str, Any]]
    histograms: Mapping[str, Sequence[int]]


def label_days(samples: DataFrame) -> LabelDays:
    """What the labels of the given samples look like, in one pass."""
    bins = F.least(F.floor(F.col("cvr") * BINS), F.lit(BINS - 1))
    labelled = F.when(F.col("cvr").isNotNull(), bins)  # least() passes over nulls
    counts = samples.groupBy("day", labelled.alias("bin")).agg(
        F.count("*").alias("rows"),
        F.sum("clicked").alias("clicks"),
        F.count("cvr").alias("labelled"),
        F.sum("cvr").alias("watched"),
    )
    days, histograms = [], {}
    rows = sorted(counts.collect(), key=lambda row: row.day)
    for day, parts in ((day, list(group)) for day, group in groupby(rows, key=lambda row: row.day)):
        impressions, clicks, labelled = (sum(row[name] for row in parts) for name in ("rows", "clicks", "labelled"))
        days.append(
            {
                "day": day,
                "impressions": impressions,
                "clicks": clicks,
                "click_rate": clicks / impressions,
                "labelled": labelled,
                "mean_cvr": sum(row.watched or 0.0 for row in parts) / labelled if labelled else None,
            }
        )
        in_bin = {row.bin: row.rows for row in parts}
        histograms[str(day)] = [in_bin.get(n, 0) for n in range(BINS)]
    return LabelDays(days, histograms)


def render(
    run: Mapping[str, Any],
    figures: Sequence[Figure],
    trained: Mapping[str, Trained],
    labels: LabelDays,
    tables: Mapping[str, int],
    simulation: Sequence[rankings.Row] = (),
    slices: Sequence[reliability.Row] = (),
    reconciled_days: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """The page. What comes from data or configuration is escaped; pictures are inline SVG.

    Args:
        run: the run's own description, `run.json`.
        figures: of every model of the run, and of the truth where it is known.
        trained: what training has left of each model.
        labels: the labels of all days.
        tables: versions of the tables that were compared on, beside those that the run was trained on.
        simulation: rows of gold/simulations, if the run's rankings have been simulated.
        slices: rows of gold/slices, if there are such.
        reconciled_days: by day, what labelling says of the rows that came in (the facts of its commit).
    """
    models, conf = list(run["models"]), config.of_run(run)
    tasks = in_order(tasks_of(conf).values())
    metrics = {task.name: task.metric for task in tasks}
    by_key = {(one.model, one.task): one for one in figures if one.metric == metrics[one.task]}
    compared = [*models, *([TRUTH] if (TRUTH, CTR) in by_key else [])]
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((Path(__file__).parent / "report.html").read_text(encoding="utf-8"))
    return template.render(
        run=run,
        train_days=conf.train_days,
        test_days=conf.test_days,
        tasks=tasks,
        rows=[{"model": s, "figures": [by_key.get((s, t.name)) for t in tasks], "paper": _paper(s)} for s in compared],
        others=[{"model": s, "paper": _paper(s)} for s in TABLE_2 if s not in models],
        truth=TRUTH,
        gain=gain,
        findings=[*warnings(by_key, models, trained, tasks), *findings(by_key, models, trained, tasks)],
        costs=[row for model, one in trained.items() for row in costs(model, one.metrics)],
        label_rows=labels.days,
        log_rows=_log_rows(reconciled_days or {}),
        tables={**run["lineage"]["tables"], **tables},
        conf=yaml.safe_dump(conf.public(), sort_keys=False, allow_unicode=True),
        notes={model: _note(one.masks) for model, one in trained.items() if one.masks},
        conflicting={model for model, one in trained.items() if one.conflict},
        **_pictures(by_key, models, trained, conf, tasks),
        label_charts=charts.labels(labels.days, labels.histograms),
        rankings=rankings.table(simulation) if simulation else [],
        ranking_chart=rankings.by_day(simulation) if simulation else "",
        ranked_days=max((row["day"] for row in simulation), default=0),
        sample_ratio=next((row["sample_ratio"] for row in simulation), None),
        others_judged=_others(figures, compared, tasks),
        predictions=(kinds := reliability.kinds(tasks, slices)),
        reliability=reliability.reliability(kinds, models, slices),
        calibration=reliability.calibration_errors(kinds, models, slices),
        calibrated=any(kind == CALIBRATED for _, kind in kinds.values()),
        slices=errors_by_slice(tasks, models, slices),
    )


def _log_rows(reconciled_days: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What became of the rows of each day and log: how many were kept, set aside and why, repeated."""
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
    """By its name for people, a figure that no model is chosen by: those of the models, None where one has none."""
    found = {(one.task, one.metric, one.model): one for one in figures}
    names = {
        f"{task.name.upper()} {metric.title}": (task.name, metric.name)
        for task in tasks
        for metric in METRICS.values()
        if not metric.judges and not metric.bins_of
    }
    rows = {name: [found.get((*key, model)) for model in models] for name, key in names.items()}
    return {name: row for name, row in rows.items() if any(row)}


def _pictures(
    figures: ByTask, models: Sequence[str], trained: Mapping[str, Trained], conf: Config, tasks: Sequence[Task]
) -> dict[str, Any]:
    points = {
        task.name: [(one.model, one.value, one.ci_low, one.ci_high) for one in (figures[s, task.name] for s in models)]
        for task in tasks
    }
    reachable = {task.name: figures[TRUTH, task.name].value for task in tasks if (TRUTH, task.name) in figures}
    own = {model: tasks_of(conf.of_model(model)) for model in trained}  # a model may weigh its losses otherwise
    weights = {model: {name: task.weight for name, task in mine.items()} for model, mine in own.items()}
    by_name = {task.name: task for task in tasks}
    return {
        "forest": charts.forest(tasks, points, reachable),
        "curves": charts.learning_curves(tasks, {model: one.metrics for model, one in trained.items()}, weights),
        "masks": {
            model: [
                *charts.pruning(by_name, one.masks),
                *charts.densities(one.masks),
                *charts.overlaps(one.masks),
                *filter(None, [subnetworks(one.masks)]),
                *mask_maps(one.masks),
                *(charts.conflicts(one.conflict, list(one.masks["rounds"])) if one.conflict else []),
            ]
            for model, one in trained.items()
            if one.masks
        },
    }


def _note(masks: Mapping[str, Any]) -> str:
    """What the general words on masks leave out."""
    found = []
    if any(one["validation"] is None for rounds in masks["rounds"].values() for one in rounds):
        found.append("The last round was taken unseen: a dashed line marks it.")
    given = masks["density"]
    if not given:
        found.append("A control: in the end no task was given a mask.")
    elif any(given[task] != rounds[masks["chosen"][task]]["density"] for task, rounds in masks["rounds"].items()):
        listed = ", ".join(f"{task.upper()} {shares['all']:.0%}" for task, shares in given.items())
        found.append(f"A control: the masks given in the end are others than those found; they keep {listed}.")
    return " ".join(found)


def warnings(
    figures: ByTask, models: Sequence[str], trained: Mapping[str, Trained], tasks: Sequence[Task]
) -> list[str]:
    """The models whose figures are no result, on validation or test rows, and why."""
    found: dict[tuple[str, str], str] = {}
    for model in models:
        for name, why in unsound(trained[model].facts if model in trained else None, [task.name for task in tasks]):
            found[model, name] = f"{why}, on the validation rows"
        for task in tasks:
            figure = figures.get((model, task.name))
            verdict = judge_figure(task, figure.value) if figure else Soundness.SOUND
            if verdict != Soundness.SOUND:
                found.setdefault((model, task.name), f"{WORDS[verdict]}, on the test rows")
    return [f"{name.upper()} of {model} is no result: {why}." for (model, name), why in found.items()]


def findings(
    figures: ByTask, models: Sequence[str], trained: Mapping[str, Trained], tasks: Sequence[Task]
) -> list[str]:
    """What may be said of several models, and what may not."""
    if len(models) < 2:
        return []
    found = [finding(figures, models, task) for task in tasks]
    epochs = {
        model: max(sum(charts.trained_epochs(trained[model].metrics, task.name)[0][-1:]) for task in tasks)
        for model in models
    }
    if max(epochs.values()) - min(epochs.values()) > 0.01:
        listed = ", ".join(f"{model} {n:.3g}" for model, n in epochs.items())
        found.append(
            f"The models did not train equally long (epochs, theta's included: {listed}): part of a difference may "
            f"come from that."
        )
    return found


def finding(figures: ByTask, models: Sequence[str], task: Task) -> str:
    """A sober sentence: whose figure is best, and from which models the 95 % intervals part it."""
    found = (figures[model, task.name] for model in models)
    ranked = sorted(found, key=lambda one: one.value, reverse=task.measure.more_is_better)
    best, others = ranked[0], ranked[1:]
    near = [one.model for one in others if best.ci_low <= one.ci_high and one.ci_low <= best.ci_high]
    if near:
        return (
            f"{task.title}: the best figure is that of {best.model}, but its interval overlaps that of "
            f"{' and '.join(near)}: no win over {'it' if len(near) == 1 else 'them'} is claimed."
        )
    return f"{task.title}: {best.model} is best, and its interval overlaps that of no other model."


def costs(model: str, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What each phase of a model's training took: epochs, samples, seconds, share of the time spent on waiting."""
    found = []
    for phase, task in dict.fromkeys((line["phase"], line["task"]) for line in lines):
        mine = [line for line in lines if (line["phase"], line["task"]) == (phase, task)]
        seconds = max(sum(line["seconds"] for line in mine), 1e-9)
        samples = sum(line["samples"] for line in mine)
        found.append(
            {
                "model": model,
                "phase": f"{phase}, {task.upper()}" if task else phase,
                "epochs": len(mine),
                "samples": samples,
                "seconds": seconds,
                "rate": samples / seconds,
                "waited": sum(line["wait_share"] * line["seconds"] for line in mine) / seconds,
            }
        )
    return found


def _paper(model: str) -> list[dict[str, float]] | None:
    """The paper's figures of a model, and their relative gain: CVR MSE and CTR AUC."""
    if model not in TABLE_2:
        return None
    pairs = ((TABLE_2[model][task], TABLE_2["single_task"][task]) for task in (CVR, CTR))
    return [{"value": value, "gain": value / base - 1} for value, base in pairs]
