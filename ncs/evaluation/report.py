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

from ncs.days import Days
from ncs.evaluation import charts
from ncs.evaluation.metrics import TRUTH, Figure
from ncs.evaluation.table import gain

PAPER = {
    "single_task": (0.13688, 0.78572),
    "layer_share": (0.13563, 0.78808),
    "connection_share": (0.13226, 0.78874),
    "neuron_share": (0.13531, 0.78346),
}
"""Table 2 of the paper: CVR MSE and CTR AUC on its own logs."""

SCORES = {"mse": "cvr_mse", "auc": "ctr_auc"}
BINS = 20


@dataclass(frozen=True)
class Trained:
    """What training has left of a system: a line of metrics an epoch, and `masks.json` where it has masks."""

    metrics: Sequence[Mapping[str, Any]]
    masks: Mapping[str, Any] | None


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
) -> str:
    """The page. What comes from data or configuration is escaped; pictures are inline SVG.

    Args:
        run: the run's own description, `run.json`.
        figures: of every system of the run, and of the truth where it is known.
        trained: what training has left of each system.
        labels: the labels of all days.
        tables: versions of the tables that were compared on, beside those that the run was trained on.
    """
    by_key = {(one.system, one.metric): one for one in figures}
    systems, conf = list(run["systems"]), run["conf"]
    compared = [*systems, *([TRUTH] if (TRUTH, "auc") in by_key else [])]
    train_days, test_days = Days.parse(str(conf["logs"]["days"])).split(conf["split"]["test_days"])
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((Path(__file__).parent / "report.html").read_text(encoding="utf-8"))
    return template.render(
        run=run,
        train_days=train_days,
        test_days=test_days,
        rows=[{"system": s, "figures": [by_key[s, m] for m in SCORES], "paper": _paper(s)} for s in compared],
        others=[{"system": s, "paper": _paper(s)} for s in PAPER if s not in systems],
        truth=TRUTH,
        gain=gain,
        findings=findings(by_key, systems, trained),
        costs=[row for system, one in trained.items() for row in costs(system, one.metrics)],
        label_rows=labels.days,
        tables={**run["lineage"]["tables"], **tables},
        conf=yaml.safe_dump(conf, sort_keys=False, allow_unicode=True),
        **_pictures(by_key, systems, trained, conf["train"]["cvr_loss_weight"]),
        label_charts=charts.labels(labels.days, labels.histograms),
    )


def _pictures(
    figures: Mapping[tuple[str, str], Figure],
    systems: Sequence[str],
    trained: Mapping[str, Trained],
    cvr_loss_weight: float,
) -> dict[str, Any]:
    points = {
        score: [(s, figures[s, m].value, figures[s, m].ci_low, figures[s, m].ci_high) for s in systems]
        for m, score in SCORES.items()
    }
    reachable = {score: figures[TRUTH, m].value for m, score in SCORES.items() if (TRUTH, m) in figures}
    return {
        "forest": charts.forest(points, reachable),
        "curves": charts.learning_curves(
            {system: one.metrics for system, one in trained.items()}, {"ctr": 1.0, "cvr": cvr_loss_weight}
        ),
        "masks": {
            system: [*charts.pruning(one.masks), *charts.densities(one.masks), *charts.overlaps(one.masks)]
            for system, one in trained.items()
            if one.masks
        },
    }


def findings(
    figures: Mapping[tuple[str, str], Figure], systems: Sequence[str], trained: Mapping[str, Trained]
) -> list[str]:
    """What may be said of several systems, and what may not."""
    if len(systems) < 2:
        return []
    found = [finding(figures, systems, metric) for metric in SCORES]
    epochs = {
        system: max(sum(charts.trained_epochs(trained[system].metrics, task)[0][-1:]) for task in ("cvr", "ctr"))
        for system in systems
    }
    if max(epochs.values()) - min(epochs.values()) > 0.01:
        listed = ", ".join(f"{system} {n:.3g}" for system, n in epochs.items())
        found.append(
            f"The systems did not train equally long (epochs, theta's included: {listed}): part of a difference may "
            f"come from that."
        )
    return found


def finding(figures: Mapping[tuple[str, str], Figure], systems: Sequence[str], metric: str) -> str:
    """A sober sentence: whose figure is best, and from which systems the 95 % intervals part it."""
    ranked = sorted((figures[system, metric] for system in systems), key=lambda one: one.value, reverse=metric == "auc")
    best, others = ranked[0], ranked[1:]
    near = [one.system for one in others if best.ci_low <= one.ci_high and one.ci_low <= best.ci_high]
    title = charts.TITLES[SCORES[metric]]
    if near:
        return (
            f"{title}: the best figure is that of {best.system}, but its interval overlaps that of "
            f"{' and '.join(near)}: no win over {'it' if len(near) == 1 else 'them'} is claimed."
        )
    return f"{title}: {best.system} is best, and its interval overlaps that of no other system."


def costs(system: str, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What each phase of a system's training took: epochs, samples, seconds, share of the time spent on waiting."""
    found = []
    for phase, task in dict.fromkeys((line["phase"], line["task"]) for line in lines):
        mine = [line for line in lines if (line["phase"], line["task"]) == (phase, task)]
        seconds = max(sum(line["seconds"] for line in mine), 1e-9)
        samples = sum(line["samples"] for line in mine)
        found.append(
            {
                "system": system,
                "phase": f"{phase}, {task.upper()}" if task else phase,
                "epochs": len(mine),
                "samples": samples,
                "seconds": seconds,
                "rate": samples / seconds,
                "waited": sum(line["wait_share"] * line["seconds"] for line in mine) / seconds,
            }
        )
    return found


def _paper(system: str) -> list[dict[str, float]] | None:
    """The paper's figures of a system, and their relative gain, in the order of `SCORES`."""
    if system not in PAPER:
        return None
    pairs = zip(PAPER[system], PAPER["single_task"], strict=True)
    return [{"value": value, "gain": value / base - 1} for value, base in pairs]
