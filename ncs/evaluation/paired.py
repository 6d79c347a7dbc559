"""Differences between models over the same seeds and the same test rows, with intervals over both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit  # scipy.stats takes a second to import

from ncs.errors import DataError
from ncs.evaluation.intervals import Interval
from ncs.lake.tables.rows import SeedDifference
from ncs.metrics import Kind, Metric
from ncs.tasks import Task


@dataclass(frozen=True)
class Figures:
    """A task's figure of one model: by seed, and by resample of the test rows (the mean over the seeds)."""

    by_seed: np.ndarray
    by_resample: np.ndarray

    @property
    def value(self) -> float:
        """Mean over the seeds, on all test rows."""
        return float(self.by_seed.mean())

    def minus(self, other: "Figures") -> "Figures":
        """The differences of one model from another, seed by seed and resample by resample."""
        return Figures(self.by_seed - other.by_seed, self.by_resample - other.by_resample)

    @property
    def over_rows(self) -> Interval:
        """Interval over the test rows: percentiles of the bootstrap, these seeds given."""
        low, high = np.percentile(self.by_resample, [2.5, 97.5])
        return Interval(float(low), float(high))

    @property
    def over_seeds(self) -> Interval:
        """Interval over the seeds: Student's t, these rows given. Without end for one seed."""
        seeds = len(self.by_seed)
        if seeds < 2:
            return Interval(-np.inf, np.inf)
        half = stdtrit(seeds - 1, 0.975) * self.by_seed.std(ddof=1) / np.sqrt(seeds)
        return Interval(self.value - half, self.value + half)

    @property
    def over_both(self) -> Interval:
        """Interval over seeds and rows, whose variances add; Student's t with Satterthwaite's degrees of freedom.

        With one seed it is that over the rows alone.
        """
        seeds = len(self.by_seed)
        of_rows = self.by_resample.var(ddof=1) if len(self.by_resample) > 1 else 0.0
        of_seeds = self.by_seed.var(ddof=1) / seeds if seeds > 1 else 0.0
        whole = of_rows + of_seeds
        freedom = (seeds - 1) * (whole / of_seeds) ** 2 if of_seeds > 0 else np.inf
        half = stdtrit(freedom, 0.975) * np.sqrt(whole)
        return Interval(float(self.value - half), float(self.value + half))


def figures(
    task: Task,
    labels: np.ndarray,
    predictions: Sequence[Mapping[str, np.ndarray]],
    resamples: int,
    seed: int,
    metric: Metric | None = None,
) -> dict[str, Figures]:
    """Every model's figures of a task.

    Args:
        task: whose labels these are.
        labels: [rows], NaN where the task does not apply.
        predictions: for each seed, model -> [rows].
        resamples: of the rows: every row counts as often as a Poisson variable of mean 1 says, the same for all.
            Those of few rows that the metric is not defined on (no row, or for AUC none of a label) are left out.
        seed: of the resamples.
        metric: what is taken, one of `resampled_metrics`; by default the one that the task is judged by.

    Raises:
        DataError: the rows hold no label, or for AUC of one kind alone.
    """
    there = ~np.isnan(labels)
    labels = labels[there]
    weights = np.random.default_rng(seed).poisson(1.0, (len(labels), resamples)).astype(np.int8)
    weights = np.concatenate([np.ones((len(labels), 1), dtype=np.int8), weights], axis=1)  # first, the rows themselves
    metric = metric or task.measure
    both = metric.judges is Kind.CLASSIFICATION
    kinds = [labels > 0.5, labels <= 0.5] if both else [np.ones(len(labels), bool)]
    if not all(kind.any() for kind in kinds):
        raise DataError(
            f"{task.title} needs rows with a label{' of either kind' if both else ''}; the test rows hold "
            f"{' and '.join(str(kind.sum()) for kind in kinds)}; test on more days (split.test_days)"
        )
    weights = weights[:, np.all([weights[kind].any(axis=0) for kind in kinds], axis=0)]
    found = {}
    for model in predictions[0]:
        of_seeds = np.stack([metric.weighted(labels, one[model][there], weights) for one in predictions])
        found[model] = Figures(of_seeds[:, 0], of_seeds[:, 1:].mean(0))
    return found


def resampled_metrics(task: Task) -> list[Metric]:
    """The metrics of a task that can be taken of resampled rows, the one that it is judged by first."""
    others = [metric for metric in task.metrics if metric.name != task.metric and (metric.error or metric.resampled)]
    return [task.measure, *others]


def difference(model: str, reference: str, task: Task, metric: Metric, found: Mapping[str, Figures]) -> SeedDifference:
    """A model's difference from a reference, whose figures are both in `found`.

    `better` is true where the interval over seeds and rows excludes zero on the better side, false on the worse, None
    where it contains zero: nothing is claimed then.
    """
    base = found[reference].value
    apart = found[model].minus(found[reference])
    both, seeds, rows = apart.over_both, apart.over_seeds, apart.over_rows
    return SeedDifference(
        model=model,
        reference=reference,
        task=task.name,
        metric=metric.name,
        difference=apart.value,
        relative=apart.value / base if base else None,
        low=both.low,
        high=both.high,
        better=metric.better(apart.value, 0.0) if both.excludes_zero else None,
        seeds_low=seeds.low,
        seeds_high=seeds.high,
        rows_low=rows.low,
        rows_high=rows.high,
    )
