"""Scoring encoded samples in parallel: any picklable thing with `predict`, sent to each executor once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame

SCHEMA = "impression_id string, system string, pctr double, pcvr double"


class Scorer(Protocol):
    """What turns ids into predictions."""

    def predict(self, ids: np.ndarray) -> Mapping[str, np.ndarray]:
        """Ids int [rows, fields] -> `ctr` and `cvr`, float [rows] each."""


def score(samples: DataFrame, fields: Sequence[str], scorers: Mapping[str, Scorer]) -> DataFrame:
    """Every system's predictions for every row: `impression_id, system, pctr, pcvr`."""
    broadcast = samples.sparkSession.sparkContext.broadcast(dict(scorers))
    columns = list(fields)

    def predict(parts: Iterable[pd.DataFrame]) -> Iterable[pd.DataFrame]:
        for part in parts:
            ids = part[columns].to_numpy(dtype=np.int64)
            for system, scorer in broadcast.value.items():
                predicted = scorer.predict(ids)
                yield pd.DataFrame(
                    {
                        "impression_id": part["impression_id"],
                        "system": system,
                        "pctr": predicted["ctr"],
                        "pcvr": predicted["cvr"],
                    }
                )

    return samples.select("impression_id", *columns).mapInPandas(predict, SCHEMA)
