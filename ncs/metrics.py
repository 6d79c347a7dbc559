"""The metrics that models are judged by, each declared once; imported by both halves.

A mean over rows is its `error`, from which the numpy and the Spark form follow: such a metric is an entry of `METRICS`
and nothing else. Of others the Spark form is named, for this module starts no Spark.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from ncs.errors import TrainingError

_LEAST = 1e-7


class Kind(StrEnum):
    """What a task is, for whoever asks which metrics apply to it."""

    CTR = "ctr"
    CVR = "cvr"
    CLASSIFICATION = "classification"
    REGRESSION = "regression"


ANY = frozenset({Kind.CLASSIFICATION, Kind.REGRESSION})


@dataclass(frozen=True)
class Metric:
    """One metric: what it is for people, which tasks it applies to, how it is computed."""

    name: str
    title: str
    phrase: str
    """In a sentence, with its article."""
    more_is_better: bool
    kinds: frozenset[Kind]
    """The tasks that it applies to."""
    judges: Kind | None = None
    """What a task is that is trained and compared by it; None: no task is."""
    unit: float = 1e-4
    """What differences are printed in."""
    error: Callable[[Any, Any, Any], Any] | None = None
    """A row's error, whose mean the metric is: (`numpy` or `pyspark.sql.functions`, labels, predictions)."""
    bounded: bool = True
    """Whether errors are within [0, 1], not only positive."""
    array: Callable[[np.ndarray, np.ndarray], float] | None = None
    """The figure of labels and scores, both [rows], where it is no mean."""
    projection: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    """The same as a mean over rows: labels and scores, both [rows] -> values [rows]."""
    spark: str = ""
    """Where the function is that computes it in Spark, `module:name`, as `ncs.evaluation.ranks.Form`."""
    of_truth: bool = False
    """Whether predictions are compared with what a synthetic world expects instead of with labels."""
    bins_of: str = ""
    """The slice of gold/slices whose parts it is computed from, where it is a calibration error."""
    on_scale: Callable[[float], float] | None = None
    """The figure on a scale whose 0 is a constant prediction and 1 a perfect one, where it has one by itself."""

    @property
    def label(self) -> str:
        """Beside an axis."""
        return self.phrase.removeprefix("the ")

    @property
    def direction(self) -> str:
        """Which figures are the better ones, in words."""
        return "more is better" if self.more_is_better else "less is better"

    def better(self, value: float, than: float) -> bool:
        """Whether a figure is better than another."""
        return value > than if self.more_is_better else value < than

    def figure(self, labels: np.ndarray, scores: np.ndarray) -> float:
        """The figure of rows, both [rows]."""
        if self.error:
            return float(np.mean(self.error(np, labels.astype(np.float64), scores)))
        assert self.array, f"{self.name} is computed in Spark alone"
        return self.array(labels, scores)

    @property
    def by_row(self) -> bool:
        """Whether it can be written as a mean over rows, so that differences can be taken row by row."""
        return self.error is not None or self.projection is not None

    def values(self, labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """Values of the rows [rows] whose mean is the figure, and whose variance over n is the figure's variance.

        With `weights` [rows] of a weighted mean, a ratio: its value plus each row's part in what it deviates.
        """
        if self.projection:
            assert weights is None, f"{self.name} has no weighted form"
            return self.projection(labels, scores)
        assert self.error, f"{self.name} is computed in Spark alone"
        scores = scores.astype(np.float64)
        if not self.bounded:  # a sigmoid of 32 bits can round to 0 or 1, whose logarithm is no figure
            scores = scores.clip(_LEAST, 1 - _LEAST)
        errors = np.asarray(self.error(np, labels.astype(np.float64), scores), dtype=np.float64)
        if weights is None:
            return errors
        mean = np.average(errors, weights=weights)
        return mean + (errors - mean) * weights / weights.mean()

    def skill(self, value: float, label_variance: float | None = None) -> float:
        """A figure on a common scale: 0 is a constant prediction, 1 a perfect one.

        Where that takes the variance of the labels, which is not given, it is known of a perfect one alone.
        """
        if self.on_scale:
            return self.on_scale(value)
        if label_variance is None:
            return float(value == 0) or 0.5
        return 1 - value / label_variance


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: how often a positive ranks above a negative, ties counting half."""
    from scipy.stats import rankdata  # a second, which reading a configuration should not cost

    positives = int((labels > 0.5).sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        raise TrainingError(
            f"AUC needs rows of both kinds; the validation rows hold {positives} clicked and {negatives} others"
        )
    ranks = rankdata(scores)[labels > 0.5].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * negatives))


def auc_by_row(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """AUC as a mean over rows: its Hajek projection, whose variance is DeLong's (1988). Rows of both kinds are needed.

    A row's placement is the share of the rows of the other kind that it is in the right order with, ties counting half.
    Its value is AUC plus what the placement lies above AUC, divided by the share of the rows of its own kind.
    """
    positive = labels > 0.5
    positives, negatives = np.sort(scores[positive]), np.sort(scores[~positive])
    below = _placements(scores[positive], negatives)
    above = 1 - _placements(scores[~positive], positives)
    area = below.mean()
    values = np.empty(len(labels))
    values[positive] = area + (below - area) * (len(labels) / len(positives))
    values[~positive] = area + (above - area) * (len(labels) / len(negatives))
    return values


def _placements(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each score the share of the sorted others that is below it, ties counting half."""
    return (np.searchsorted(others, scores, "left") + np.searchsorted(others, scores, "right")) / (2 * len(others))


def squared_error(_: Any, label: Any, prediction: Any) -> Any:
    """A row's squared error."""
    return (label - prediction) ** 2


def cross_entropy(f: Any, label: Any, prediction: Any) -> Any:
    """A row's log loss; of a label that is a probability the cross entropy."""
    return -(label * f.log(prediction) + (1 - label) * f.log1p(-prediction))


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            "auc",
            "AUC",
            "the area under the ROC curve",
            more_is_better=True,
            kinds=frozenset({Kind.CLASSIFICATION}),
            judges=Kind.CLASSIFICATION,
            array=auc,
            projection=auc_by_row,
            spark="ncs.evaluation.ranks:auc",
            on_scale=lambda value: 2 * value - 1,
        ),
        Metric(
            "gauc",
            "GAUC",
            "AUC within users",
            more_is_better=True,
            kinds=frozenset({Kind.CLASSIFICATION}),
            spark="ncs.evaluation.ranks:grouped_auc",
        ),
        Metric(
            "mse",
            "MSE",
            "mean squared error",
            more_is_better=False,
            kinds=frozenset({Kind.REGRESSION}),
            judges=Kind.REGRESSION,
            unit=1e-5,
            error=squared_error,
        ),
        Metric(
            "spearman",
            "Spearman",
            "the correlation of ranks",
            more_is_better=True,
            kinds=frozenset({Kind.REGRESSION}),
            spark="ncs.evaluation.ranks:spearman",
        ),
        Metric(
            "log_loss",
            "log loss",
            "log loss",
            more_is_better=False,
            kinds=frozenset({Kind.CTR}),
            error=cross_entropy,
            bounded=False,
        ),
        Metric(
            "excess_error",
            "excess error",
            "the mean squared distance from a synthetic world's expectation, weighted by its click probability",
            more_is_better=False,
            kinds=frozenset({Kind.CVR}),
            unit=1e-5,
            error=squared_error,
            of_truth=True,
        ),
        Metric(
            "cross_entropy",
            "cross entropy",
            "the cross entropy against a synthetic world's click probability",
            more_is_better=False,
            kinds=frozenset({Kind.CTR}),
            error=cross_entropy,
            bounded=False,
            of_truth=True,
        ),
        Metric(
            "ece",
            "ECE",
            "the expected calibration error",
            more_is_better=False,
            kinds=ANY,
            bins_of="prediction",
        ),
        Metric(
            "ece_calibrated",
            "ECE, calibrated",
            "the same of calibrated predictions",
            more_is_better=False,
            kinds=ANY,
            bins_of="calibrated",
        ),
    )
}


def names(more_is_better: bool | None = None) -> list[str]:
    """The metrics, or those for which more is better (or is not)."""
    return [name for name, metric in METRICS.items() if more_is_better in (None, metric.more_is_better)]


def judging() -> list[str]:
    """The metrics that a task may be trained and compared by."""
    return [name for name, metric in METRICS.items() if metric.judges]
