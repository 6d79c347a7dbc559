"""The report of a run: one HTML file with everything in it, no network, no scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

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

BINS = 20


@dataclass(frozen=True)
class Trained:
    """What training has left of a system: a line of metrics an epoch, and `masks.json` where it has masks."""

    metrics: Sequence[Mapping[str, Any]]
    masks: Mapping[str, Any] | None


@dataclass(frozen=True)
class LabelDays:
    """Labels by day, and how many CVR labels fall into each of `BINS` bins of [0, 1]."""

    days: Sequence[Mapping[str, Any]]
    histogram: Sequence[int]


def label_days(samples: DataFrame) -> LabelDays:
    """What the labels of the given samples look like."""
    days = samples.groupBy("day").agg(
        F.count("*").alias("impressions"),
        F.sum("clicked").alias("clicks"),
        F.avg("clicked").alias("click_rate"),
        F.count("cvr").alias("labelled"),
        F.avg("cvr").alias("mean_cvr"),
    )
    bins = samples.where(F.col("cvr").isNotNull()).groupBy(F.least(F.floor(F.col("cvr") * BINS), F.lit(BINS - 1)))
    counts = {int(row[0]): row[1] for row in bins.count().collect()}
    return LabelDays([row.asDict() for row in days.orderBy("day").collect()], [counts.get(n, 0) for n in range(BINS)])


def render(run: Mapping[str, Any], figures: Sequence[Figure], trained: Mapping[str, Trained], labels: LabelDays) -> str:
    """The page. What comes from data or configuration is escaped; pictures are inline SVG."""
    by_key = {(one.system, one.metric): one for one in figures}
    order = [*run["systems"]]
    metrics = {"CVR MSE": "mse", "CTR AUC": "auc"}
    forest = {
        title: [(s, by_key[s, m].value, by_key[s, m].ci_low, by_key[s, m].ci_high) for s in order]
        for title, m in metrics.items()
    }
    truth = {title: by_key[TRUTH, m].value for title, m in metrics.items() if (TRUTH, m) in by_key}
    masked = {system: one.masks for system, one in trained.items() if one.masks}
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((Path(__file__).parent / "report.html").read_text())
    return template.render(
        run=run,
        rows=[
            {"system": s, "mse": by_key[s, "mse"], "auc": by_key[s, "auc"], "paper": PAPER.get(s)}
            for s in [*order, *([TRUTH] if truth else [])]
        ],
        truth=TRUTH,
        gain=gain,
        findings=[finding(by_key, order, metric) for metric in metrics.values()] if len(order) > 1 else [],
        forest=charts.forest(forest, truth),
        curves=charts.learning_curves({system: one.metrics for system, one in trained.items()}),
        masks={
            name: [charts.pruning(masks), charts.densities(masks), charts.overlaps(masks)]
            for name, masks in masked.items()
        },
        label_chart=charts.labels(labels.days, [n / BINS for n in range(BINS)], labels.histogram),
        label_rows=labels.days,
        conf=yaml.safe_dump(run["conf"], sort_keys=False),
    )


def finding(figures: Mapping[tuple[str, str], Figure], systems: Sequence[str], metric: str) -> str:
    """A sober sentence: who is ahead, and whether the intervals part it from the next."""
    ranked = sorted((figures[system, metric] for system in systems), key=lambda one: one.value)
    best, second = (ranked[0], ranked[1]) if metric == "mse" else (ranked[-1], ranked[-2])
    name = "CVR MSE" if metric == "mse" else "CTR AUC"
    apart = best.ci_high < second.ci_low or best.ci_low > second.ci_high
    if apart:
        return f"On {name}, {best.system} is ahead of {second.system}, and their intervals do not overlap."
    return (
        f"On {name}, {best.system} is ahead of {second.system} by {abs(best.value - second.value):.5f}, but their "
        f"intervals overlap: this one run does not settle it."
    )
