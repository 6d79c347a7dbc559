"""Scoring encoded samples: anything picklable with `predict`, sent to each executor once, or used here for few rows."""

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame

from ncs.kinds import Layout
from ncs.kinds.arrays import stack
from ncs.tasks import Task


class Scorer(Protocol):
    """What turns encoded rows into predictions."""

    def predict(self, ids: np.ndarray, numbers: np.ndarray) -> Mapping[str, np.ndarray]:
        """Ids and numbers in the columns of a layout, [rows, columns] -> each task's prediction, float [rows]."""


def score(
    samples: DataFrame, layout: Layout, scorers: Mapping[str, Scorer], tasks: Mapping[str, Task], few: bool = False
) -> DataFrame:
    """Every model's predictions for every row: `impression_id, model, <a column a task>`.

    `few`: the rows are scored in this process, for an executor's would load torch first, which takes seconds.
    """
    spark, columns = samples.sparkSession, layout.names
    predictions = {task.prediction: name for name, task in tasks.items()}
    schema = ", ".join(["impression_id string, model string", *(f"`{column}` double" for column in predictions)])

    def predict(parts: Iterable[pd.DataFrame], by: Mapping[str, Scorer]) -> Iterable[pd.DataFrame]:
        for part in parts:
            inputs = stack(layout, {name: part[name].to_numpy() for name in columns}, len(part))
            for model, scorer in by.items():
                predicted = scorer.predict(*inputs)
                yield pd.DataFrame(
                    {
                        "impression_id": part["impression_id"],
                        "model": model,
                        **{column: predicted[task] for column, task in predictions.items()},
                    }
                )

    rows = samples.select("impression_id", *columns)
    if few:
        return spark.createDataFrame(pd.concat(predict([rows.toPandas()], scorers)), schema)
    broadcast = spark.sparkContext.broadcast(dict(scorers))
    return rows.mapInPandas(lambda parts: predict(parts, broadcast.value), schema)
