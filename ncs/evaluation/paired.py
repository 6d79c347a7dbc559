"""Differences between models over the same seeds and the same test rows, with intervals over both.

Every metric is a mean over rows here, so a model's values form a table of seeds by rows. Seeds and rows are random and
crossed: value = mean + seed + row + noise of the pair (two-way analysis of variance, random effects, one value a cell).
The variance of the mean is then `(MS_seeds + MS_rows - MS_noise) / (seeds * rows)`, for both other mean squares hold
the noise; its degrees of freedom are Satterthwaite's (1946). 95 % intervals hold the truth in 94 to 96 % of the cases
with five seeds and more; where nearly all is noise of the pair, in 92 % with three and 88 % with two. Rows count as
independent, and the world as given.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit  # scipy.stats takes a second to import

from ncs.errors import DataError
from ncs.evaluation.intervals import Interval
from ncs.lake.tables.rows import SeedDifference
from ncs.metrics import Kind, Metric
from ncs.tasks import Task

LEVEL, POWER = 0.05, 0.8
"""The power of a test: how likely it settles a difference of the size that the design can settle."""


@dataclass(frozen=True)
class Mean:
    """A mean over seeds and rows, of one model's values or of two models' differences."""

    by_seed: np.ndarray
    """The mean over the rows, by seed [seeds]."""
    rows: int
    of_rows: float
    """Mean square of the rows."""
    of_noise: float
    """Mean square of what neither seeds nor rows explain; 0 with one seed, when the rows' holds it."""

    @property
    def value(self) -> float:
        """Mean over the seeds, on all test rows."""
        return float(self.by_seed.mean())

    @property
    def seeds(self) -> int:
        """How many there are."""
        return len(self.by_seed)

    @property
    def error(self) -> float:
        """Standard error over seeds and rows; with one seed over the rows alone."""
        return float(np.sqrt((self._of_seeds + self._rows_alone) / (self.seeds * self.rows)))

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the standard error; what is subtracted in it takes none from the seeds'."""
        squares = (self._of_seeds, self.seeds - 1), (self.of_rows, self.rows - 1)
        noise = (self.of_noise, (self.seeds - 1) * (self.rows - 1))
        below = sum(square**2 / freedom for square, freedom in (*squares, noise) if freedom)
        return max(float((self._of_seeds + self._rows_alone) ** 2 / below), self.seeds - 1.0) if below else np.inf

    @property
    def p(self) -> float:
        """Two-sided p value of a mean of zero."""
        if not self.error:
            return float(self.value == 0)
        return float(2 * stdtr(self.freedom, -abs(self.value) / self.error))

    @property
    def over_both(self) -> Interval:
        """95 % interval over seeds and rows; with one seed over the rows alone."""
        return _interval(self.value, self.error, self.freedom)

    @property
    def over_rows(self) -> Interval:
        """95 % interval over the test rows, these seeds given."""
        return _interval(self.value, float(np.sqrt(self.of_rows / (self.seeds * self.rows))), self.rows - 1)

    @property
    def over_seeds(self) -> Interval:
        """95 % interval over the seeds, these rows given. Without end for one seed."""
        if self.seeds < 2:
            return Interval(-np.inf, np.inf)
        return _interval(self.value, float(np.sqrt(self._of_seeds / (self.seeds * self.rows))), self.seeds - 1)

    def smallest(self, level: float = LEVEL) -> float:
        """The true mean that a test at this level finds to differ from zero with a probability of `POWER`."""
        return float(self.error * (stdtrit(self.freedom, 1 - level / 2) + stdtrit(self.freedom, POWER)))

    @property
    def _of_seeds(self) -> float:
        """Mean square of the seeds."""
        return self.rows * float(self.by_seed.var(ddof=1)) if self.seeds > 1 else 0.0

    @property
    def _rows_alone(self) -> float:
        """Mean square of the rows without the noise; a variance is not negative, though its estimate can be."""
        return max(self.of_rows - self.of_noise, 0.0)


@dataclass(frozen=True)
class Figures:
    """All models' figures in one metric of a task, and the mean squares that each pair's difference has."""

    models: tuple[str, ...]
    by_seed: np.ndarray
    """[models, seeds]"""
    rows: int
    of_rows: np.ndarray
    """Mean squares and products [models, models]."""
    of_noise: np.ndarray
    """Likewise."""

    def mean(self, model: str) -> Mean:
        """A model's figure."""
        return self._along(np.array([float(name == model) for name in self.models]))

    def difference(self, model: str, reference: str) -> Mean:
        """A model's figure minus the reference's, row by row and seed by seed."""
        return self._along(np.array([float(name == model) - float(name == reference) for name in self.models]))

    def _along(self, contrast: np.ndarray) -> Mean:
        rows, noise = (max(float(contrast @ squares @ contrast), 0.0) for squares in (self.of_rows, self.of_noise))
        return Mean(contrast @ self.by_seed, self.rows, rows, noise)


class Analysis:
    """The analysis of variance of all models at once, given one seed's values after the other."""

    def __init__(self, metric: Metric, labels: np.ndarray, weights: np.ndarray | None = None) -> None:
        """`labels` [rows]: NaN where the task does not apply; `weights` [rows]: of a metric that is a weighted mean."""
        self._metric, self._there = metric, ~np.isnan(labels)
        self._labels = labels[self._there]
        self._weights = None if weights is None else weights[self._there]
        self._models: tuple[str, ...] = ()
        self._by_seed: list[np.ndarray] = []
        self._total = self._within = np.zeros(0)

    def add(self, predictions: Mapping[str, np.ndarray]) -> None:
        """Another seed's predictions: model -> [rows], NaN allowed where there is no label."""
        self._models = self._models or tuple(predictions)
        of_models = (predictions[model][self._there] for model in self._models)
        values = np.stack([self._metric.values(self._labels, scores, self._weights) for scores in of_models])
        self._by_seed.append(values.mean(axis=1))
        values -= self._by_seed[-1][:, None]
        squares = values @ values.T
        self._within = self._within + squares if self._within.size else squares
        self._total = self._total + values if self._total.size else values

    def figures(self) -> Figures:
        """The figures over all seeds so far."""
        seeds, rows = len(self._by_seed), self._total.shape[1]
        of_rows = self._total @ self._total.T / seeds
        noise = (self._within - of_rows) / ((seeds - 1) * (rows - 1)) if seeds > 1 else np.zeros_like(of_rows)
        return Figures(self._models, np.stack(self._by_seed, axis=1), rows, of_rows / (rows - 1), noise)


def analysis(task: Task, labels: np.ndarray, metric: Metric | None = None) -> Analysis:
    """An analysis of labels, without a seed yet.

    `metric` is one of `metrics_by_row`, by default the one that the task is judged by.

    Raises:
        DataError: fewer than two rows have a label, or for AUC all of them the same.
    """
    metric = metric or task.measure
    known = labels[~np.isnan(labels)]
    both = metric.judges is Kind.CLASSIFICATION
    kinds = [known > 0.5, known <= 0.5] if both else [np.ones(len(known), bool)]
    if len(known) < 2 or not all(kind.any() for kind in kinds):
        raise DataError(
            f"{task.title} needs rows with a label{' of either kind' if both else ''}; the test rows hold "
            f"{' and '.join(str(kind.sum()) for kind in kinds)}; test on more days (split.test_days)"
        )
    return Analysis(metric, labels)


def figures(
    task: Task, labels: np.ndarray, predictions: Iterable[Mapping[str, np.ndarray]], metric: Metric | None = None
) -> Figures:
    """Every model's figures of a task.

    Args:
        task: whose labels these are.
        labels: [rows], NaN where the task does not apply.
        predictions: for each seed, model -> [rows].
        metric: as `analysis`, which says what is raised too.
    """
    analysed = analysis(task, labels, metric)
    for of_seed in predictions:
        analysed.add(of_seed)
    return analysed.figures()


def metrics_by_row(task: Task) -> list[Metric]:
    """The metrics of a task that are means over rows, the one that it is judged by first."""
    return [task.measure, *(metric for metric in task.metrics if metric.name != task.metric and metric.by_row)]


def difference(model: str, reference: str, task: Task, metric: Metric, figures: Figures) -> SeedDifference:
    """A model's difference from a reference, both of `found`.

    `better` is true where the interval over seeds and rows excludes zero on the better side, false on the worse, None
    where it contains zero: nothing is claimed then. `corrected` is for many differences that are looked at together.
    """
    apart, base = figures.difference(model, reference), figures.mean(reference).value
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
        p=apart.p,
        smallest=apart.smallest(),
    )


def holm(p: Sequence[float]) -> list[float]:
    """p values corrected for being looked at together: one below 0.05 by chance is as rare as if alone (Holm 1979)."""
    order = np.argsort(p, kind="stable")
    steps = np.array(p)[order] * np.arange(len(p), 0, -1)
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected.tolist()


def _interval(value: float, error: float, freedom: float) -> Interval:
    half = float(stdtrit(freedom, 1 - LEVEL / 2) * error)
    return Interval(value - half, value + half)
