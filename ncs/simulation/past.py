"""The logs' state when a simulation begins: statistics of the last days, users' histories."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from ncs.config import Config
from ncs.kinds import History, Statistics
from ncs.kinds.statistics import ALL_ROWS, SUMS, Statistic
from ncs.kinds.text import as_texts
from ncs.lake import layout
from ncs.lake.layout import Lake
from ncs.logs.draws import Floats

_WHERE = {"clicked": "clicked == 1", "watched": "watched_seconds > 0", "shown": "impression_id == impression_id"}
Columns = Mapping[str, NDArray[Any]]
"""Raw values by column, [rows] each."""


class Past:
    """Statistics and histories as rows of the day after the logs' end have them; simulated days add nothing to them."""

    def __init__(self, lake: Lake, conf: Config) -> None:
        self._conf = conf
        self._end = conf.logs.days.last + timedelta(days=1)
        self._sums = [self._summed(lake, feature) for feature in conf.statistics]
        self._latest = {name: self._read_latest(lake, feature) for name, feature in conf.history.items()}

    @property
    def names(self) -> list[str]:
        """The features that it knows."""
        return [name for name in self._conf.features if name not in self._conf.fields]

    def statistics(self, columns: Columns) -> dict[str, Floats]:
        """Each statistic of rows whose raw values are given, NaN where there is none, [rows]."""
        by_feature = {}
        for declared, (own, whole) in zip(self._conf.statistics, self._sums, strict=True):
            keys, rows = _keys([columns[name] for name in declared.by])
            known = own.reindex(keys).fillna(0.0)
            for feature, statistic in zip(declared.fields, declared.of, strict=True):
                by_feature[feature] = _statistic(statistic, known, whole, declared.smoothing)[rows]
        return by_feature

    def histories(self, users: NDArray[Any]) -> dict[str, list[list[Any]]]:
        """Each history of some users: the raw values of its field, the newest first."""
        by_feature: dict[str, list[list[Any]]] = {}
        for name, declared in self._conf.history.items():
            latest = self._latest[name]
            for field, feature in zip(declared.of, declared.fields(name, self._conf.fields), strict=True):
                by_user = latest[field].to_dict()
                by_feature[feature] = [by_user.get(user, []) for user in users.tolist()]
        return by_feature

    def _summed(self, lake: Lake, declared: Statistics) -> tuple[pd.DataFrame, pd.Series]:
        """The sums of each key of the last days, and of all rows."""
        rows = _of_days(lake, layout.DAILY_STATISTICS, ["group", "key", *SUMS], self._days(declared.days))
        rows = rows[rows["group"].isin([declared.group, ALL_ROWS])]
        age = np.array([(self._end - day).days - 1 for day in rows["day"]])
        weight = 0.5 ** (age / (declared.half_life or np.inf))
        weighted = rows[list(SUMS)].astype(float).mul(weight, axis="index")
        sums = weighted.groupby([rows["group"], rows["key"]]).sum()
        whole = sums[sums.index.get_level_values("group") == ALL_ROWS].sum()
        return sums[sums.index.get_level_values("group") == declared.group].droplevel("group"), whole

    def _read_latest(self, lake: Lake, declared: History) -> pd.DataFrame:
        """By user, a list of each field's raw values."""
        names = ["user_id", "ts", "impression_id", "clicked", "watched_seconds", *declared.of]
        rows = _of_days(lake, layout.SAMPLES, list(dict.fromkeys(names)), self._days(declared.days))
        rows = rows.query(_WHERE[declared.where]).sort_values(["ts", "impression_id"], ascending=False)
        newest = rows.groupby("user_id", sort=False)
        return newest.head(declared.last).groupby("user_id")[declared.of].agg(list)

    def _days(self, count: int) -> list[date]:
        """The last days before the simulation."""
        return [self._end - timedelta(days=n) for n in range(1, count + 1)]


def _of_days(lake: Lake, table: str, columns: list[str], days: Sequence[date]) -> pd.DataFrame:
    """The rows of those of the days that a table has, with their `day`."""
    version, there = lake.version(table), lake.records(table)
    read = [
        lake.read(table, version, columns, [("day", "=", str(day))]).to_pandas().assign(day=day)
        for day in days
        if str(day) in there
    ]
    return pd.concat(read, ignore_index=True) if read else pd.DataFrame(columns=[*columns, "day"])


def _keys(columns: Sequence[NDArray[Any]]) -> tuple[list[str | None], NDArray[np.int64]]:
    """The different keys of gold/daily_statistics that rows have, and the position of each row's, [rows]."""
    combined, values = np.zeros(len(columns[0]), np.int64), []
    for column in columns:
        codes, different = pd.factorize(column)
        combined = combined * len(different) + codes
        values.append(as_texts(pa.array(different)))
    unique, rows = np.unique(combined, return_inverse=True)
    parts = np.unravel_index(unique, [len(texts) for texts in values])
    texts = [[names[n] for n in part] for names, part in zip(values, parts, strict=True)]
    if len(texts) == 1:
        return list(texts[0]), rows
    return [json.dumps(key, separators=(",", ":"), ensure_ascii=False) for key in zip(*texts, strict=True)], rows


def _statistic(name: Statistic, own: pd.DataFrame, whole: pd.Series, smoothing: float) -> Floats:
    """The statistic of each key [keys], as `ncs.kinds.statistics` defines it."""
    if name in ("impressions", "watched_seconds"):
        return np.log1p(own[name].to_numpy())
    if name == "hours_since":  # of single rows, of which a simulation keeps none
        return np.full(len(own), np.nan)
    total, rows = ("clicks", "impressions") if name == "clicked" else ("cvr", "labelled")
    prior = whole[total] / whole[rows] * smoothing if smoothing and whole[rows] else np.nan if smoothing else 0.0
    count = own[rows].to_numpy() + smoothing
    return np.where(count > 0, (own[total].to_numpy() + prior) / np.where(count > 0, count, 1.0), np.nan)
