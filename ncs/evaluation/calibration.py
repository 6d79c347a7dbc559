"""Isotonic calibration: what share of labels a prediction stands for, learnt from validation rows alone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncs.tasks import Task

_DECIMALS = 3
"""Predictions whose log odds agree so far are fitted as one: at most some ten thousand points, however many rows."""


class Curve(NamedTuple):
    """Knots of a rising curve, both float [knots]: straight between them, level beyond the first and the last."""

    prediction: np.ndarray
    calibrated: np.ndarray

    def of(self, predictions: np.ndarray) -> np.ndarray:
        """Predictions -> calibrated ones, float [rows]; NaN stays NaN."""
        return np.interp(predictions, self.prediction, self.calibrated)


Curves = Mapping[tuple[str, str], Curve]
"""(Model, task) -> its curve."""


def fit(labels: np.ndarray, predictions: np.ndarray) -> Curve:
    """The curve of a task's validation rows: least squares among all that never fall (Zadrozny and Elkan, KDD 2002).

    Both float [rows]; rows without a label (NaN) are left out, predictions are within (0, 1).
    """
    known = ~np.isnan(labels)
    prediction, label = predictions[known].astype(float), labels[known].astype(float)
    odds = np.round(np.log(prediction) - np.log1p(-prediction), _DECIMALS)
    _, point, n = np.unique(odds, return_inverse=True, return_counts=True)
    return _fitted(np.bincount(point, prediction) / n, np.bincount(point, label) / n, n)


def _fitted(x: np.ndarray, y: np.ndarray, n: np.ndarray) -> Curve:
    """The curve through points of rising `x`; of a level part only its two ends are kept."""
    from scipy.optimize import isotonic_regression  # not imported where nothing is fitted

    fitted = isotonic_regression(y, weights=n)
    first = fitted.blocks[:-1]
    ends = np.union1d(first, fitted.blocks[1:] - 1)
    return Curve(x[ends], np.clip(fitted.x[ends], 0.0, 1.0))


def apply(scored: DataFrame, curves: Curves, tasks: Sequence[Task]) -> DataFrame:
    """`model`, labels and calibrated predictions of the rows whose model has curves, by their usual columns.

    A task that a model has no curve of has null predictions.
    """
    known = {
        task.prediction: {model: curve for (model, name), curve in curves.items() if name == task.name}
        for task in tasks
    }
    models = sorted({model for model, _ in curves})
    names = [name for task in tasks for name in (task.label, task.prediction)]
    rows = scored.where(F.col("model").isin(models)).select("model", *(F.col(name).cast("double") for name in names))

    def calibrate(parts: Iterable[pd.DataFrame]) -> Iterable[pd.DataFrame]:
        for part in parts:
            for model, mine in part.groupby("model"):
                calibrated = {name: by[model].of(mine[name].to_numpy()) for name, by in known.items() if model in by}
                yield mine.assign(**{**dict.fromkeys(known, np.nan), **calibrated})

    return rows.mapInPandas(calibrate, rows.schema)


def as_rows(run_id: str, curves: Curves) -> list[dict[str, Any]]:
    """Rows of gold/calibration, a knot each, in the order of `place`."""
    return [
        {"run_id": run_id, "model": model, "task": task, "place": n, "prediction": float(x), "calibrated": float(y)}
        for (model, task), curve in curves.items()
        for n, (x, y) in enumerate(zip(*curve, strict=True))
    ]


def from_rows(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Curve]:
    """The curves that `as_rows` has made rows of, in any order."""
    points: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in sorted(rows, key=lambda row: row["place"]):
        points.setdefault((row["model"], row["task"]), []).append((row["prediction"], row["calibrated"]))
    return {key: Curve(*np.array(knots).T) for key, knots in points.items()}
