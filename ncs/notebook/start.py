"""The start of a notebook: widgets, a Spark session, the lake, the views."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
from pyspark.sql import SparkSession

from ncs import config
from ncs.errors import DataError
from ncs.lake import layout, views
from ncs.lake.layout import Lake
from ncs.lake.session import spark_session

if TYPE_CHECKING:
    import pandas as pd

WIDGETS = {"lake": "lake/demo", "run": ""}
"""Widget -> its default. Outside Databricks the variables NCS_LAKE and NCS_RUN stand for them; no run: the newest."""
GIVEN = "widgets"
"""The name that whoever runs a notebook may give values of widgets under."""


@dataclass(frozen=True)
class Notebook:
    """A lake that is looked at, and the run of it."""

    spark: SparkSession
    lake: Lake
    run: str
    names: Mapping[str, Any]
    """The notebook's `globals()`."""

    def show(self, frame: "pd.DataFrame", digits: int = 5) -> None:
        """Show a table, numbers rounded: as a notebook displays it, or as text where there is no `display`."""
        shown = frame.round(digits)
        for name, values in shown.items():
            there = values.notna()
            if values.dtype == float and (values[there] % 1 == 0).all():  # numbers of rounds, beside missing ones
                values = values.astype("Int64").astype(object)
            if values.dtype == object:
                shown[name] = values.where(there, "–")
        if "display" in self.names:
            self.names["display"](shown)
        else:
            print(shown.to_string(index=False, na_rep="–", float_format=f"{{:.{digits}f}}".format))

    def sql(self, query: str) -> "pd.DataFrame":
        """Rows of a query over the views and, as `{gold/slices}`, the tables; `{run}` is the run's id, quoted."""
        values = {"run": f"'{self.run}'"} | {name: views.relation(self.lake, name) for name in _tables(query)}
        for name, value in values.items():
            query = query.replace(f"{{{name}}}", value)
        return self.spark.sql(query).toPandas()

    def has(self, table: str) -> bool:
        """Whether the lake has a table."""
        return self.lake.has(table)


def start(names: Mapping[str, Any]) -> Notebook:
    """Start a notebook; `names` are its `globals()`, which hold `spark` and `dbutils` on Databricks.

    Raises DataError if nothing in the lake has been evaluated.
    """
    values = {name: _widget(names, name) for name in WIDGETS}
    spark = names.get("spark") or spark_session(config.load(os.environ.get("NCS_CONF", "conf/demo.yaml")))
    lake = Lake.at(values["lake"])
    runs = list(lake.records(layout.EVALUATIONS))  # the newest first
    if not runs:
        raise DataError(f"the lake {lake.root} has no evaluated run; run `ncs run`, or name another lake")
    run = layout.check_run_id(values["run"] or runs[0], lake.root)
    if run not in runs:
        raise DataError(f"the lake {lake.root} has no run {run}; it has {', '.join(runs)}")
    views.create(spark, lake)
    matplotlib.rcParams["text.parse_math"] = False  # a $ in a name is a $
    print(f"run {run}, in {lake.root}")
    return Notebook(spark, lake, run, names)


def _widget(names: Mapping[str, Any], name: str) -> str:
    dbutils, given = names.get("dbutils"), names.get(GIVEN, {})
    if dbutils is None:
        return given.get(name) or os.environ.get(f"NCS_{name.upper()}", WIDGETS[name])
    dbutils.widgets.text(name, WIDGETS[name])
    return str(dbutils.widgets.get(name))


def _tables(query: str) -> list[str]:
    return [part.partition("}")[0] for part in query.split("{")[1:] if "/" in part.partition("}")[0]]
