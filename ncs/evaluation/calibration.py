"""Isotonic calibration: what share of labels a prediction stands for, learnt from validation rows alone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.optimize import isotonic_regression

from ncs.tasks import Task

_DECIMALS = 3
"""Predictions whose log odds agree so far are fitted as one: at most some ten thousand points, however many rows."""

SCHEMA = "run_id string, system string, task string, place int, prediction double, calibrated double"


class Curve(NamedTuple):
    """Knots of a rising curve, both float [knots]: straight between them, level beyond the first and the last."""

    prediction: np.ndarray
    calibrated: np.ndarray

    def of(self, predictions: np.ndarray) -> np.ndarray:
        """Predictions -> calibrated ones, float [rows]; NaN stays NaN."""
        return np.interp(predictions, self.prediction, self.calibrated)


Curves = Mapping[tuple[str, str], Curve]
"""(System, task) -> its curve."""


def fit(scored: DataFrame, tasks: Iterable[Task]) -> dict[tuple[str, str], Curve]:
    """The curve of every system and task: least squares among all that never fall (Zadrozny and Elkan, KDD 2002).

    `scored` are validation rows: `system`, of every task its label (null or NaN where there is none) and prediction,
    strictly inside (0, 1). Equal predictions get equal values.
    """
    curves = {}
    for task in tasks:
        label, prediction = F.col(task.label).cast("double"), F.col(task.prediction)
        odds = F.round(F.log(prediction) - F.log1p(-prediction), _DECIMALS).alias("odds")
        points = scored.where(label.isNotNull() & ~F.isnan(label)).groupBy("system", odds)
        means = points.agg(F.avg(prediction).alias("x"), F.avg(label).alias("y"), F.count("*").alias("n"))
        found: pd.DataFrame = means.toPandas()
        for system, mine in found.sort_values("x").groupby("system"):
            curves[str(system), task.name] = _fitted(*(mine[name].to_numpy(dtype=float) for name in ("x", "y", "n")))
    return curves


def _fitted(x: np.ndarray, y: np.ndarray, n: np.ndarray) -> Curve:
    """The curve through points of rising `x`; of a level part only its two ends are kept."""
    fitted = isotonic_regression(y, weights=n)
    first = fitted.blocks[:-1]
    ends = np.union1d(first, fitted.blocks[1:] - 1)
    return Curve(x[ends], np.clip(fitted.x[ends], 0.0, 1.0))


def apply(scored: DataFrame, curves: Curves, tasks: Sequence[Task]) -> DataFrame:
    """`system`, labels and calibrated predictions of the rows whose system has curves, by their usual columns.

    A task that a system has no curve of has null predictions.
    """
    known = {
        task.prediction: {system: one for (system, name), one in curves.items() if name == task.name} for task in tasks
    }
    systems = sorted({system for system, _ in curves})
    names = [name for task in tasks for name in (task.label, task.prediction)]
    rows = scored.where(F.col("system").isin(systems)).select("system", *(F.col(name).cast("double") for name in names))

    def calibrate(parts: Iterable[pd.DataFrame]) -> Iterable[pd.DataFrame]:
        for part in parts:
            for system, mine in part.groupby("system"):
                found = {name: by[system].of(mine[name].to_numpy()) for name, by in known.items() if system in by}
                yield mine.assign(**{**dict.fromkeys(known, np.nan), **found})

    return rows.mapInPandas(calibrate, rows.schema)


def as_rows(run_id: str, curves: Curves) -> list[dict[str, Any]]:
    """Rows of gold/calibration, a knot each, in the order of `place`."""
    return [
        {"run_id": run_id, "system": system, "task": task, "place": n, "prediction": float(x), "calibrated": float(y)}
        for (system, task), curve in curves.items()
        for n, (x, y) in enumerate(zip(*curve, strict=True))
    ]


def from_rows(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Curve]:
    """The curves that `as_rows` has made rows of, in any order."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in sorted(rows, key=lambda row: row["place"]):
        found.setdefault((row["system"], row["task"]), []).append((row["prediction"], row["calibrated"]))
    return {key: Curve(*np.array(knots).T) for key, knots in found.items()}
