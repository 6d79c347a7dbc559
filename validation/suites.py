"""What each table must be, as Great Expectations suites: pure functions of the configuration and the days.

Rules on single columns are Great Expectations' own; their counts share one pass over the table. Rules on days, keys
and several columns are queries whose rows are the exceptions, so that a failure names the day.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date

import great_expectations.expectations as gxe
from great_expectations import ExpectationSuite
from great_expectations.expectations.metadata_types import FailureSeverity

import validation
from ncs.config import Config
from ncs.lake.layout import CLICKS, IMPRESSIONS, PLAYS, PREDICTIONS, SAMPLES, USERS, VIDEOS
from ncs.tasks import CTR, CVR, Task, tasks_of
from validation.bands import Bands
from validation.rules import (
    ExpectNoRows,
    Rules,
    daily_mean,
    daily_share,
    day_literal,
    every_day,
    few_null,
    in_set,
    none_where,
    not_null,
    unique,
)

_EVENT = {"impression_id": "StringType", "ts": "TimestampType", "day": "DateType"}
_PAIR = {"impression_id": "StringType", "user_id": "LongType", "video_id": "LongType"}
COLUMNS: dict[str, dict[str, str]] = {
    IMPRESSIONS: {**_PAIR, "ts": "TimestampType", "day": "DateType"},
    CLICKS: _EVENT,
    PLAYS: {**_EVENT, "watched_seconds": "DoubleType"},
    USERS: {"user_id": "LongType"},
    VIDEOS: {"video_id": "LongType"},
    SAMPLES: {
        **_PAIR,
        "ts": "TimestampType",
        "day": "DateType",
        "length_seconds": "DoubleType",
        "clicked": "IntegerType",
        "watched_seconds": "DoubleType",
        "cvr": "DoubleType",
    },
    PREDICTIONS: {"run_id": "StringType", "model": "StringType", **_PAIR, "day": "DateType"},
}
"""The columns that a table must have, and their Spark types; those of `fields` and `tasks` come on top."""
ENCODED = {"impression_id": "StringType", "day": "DateType", "split": "StringType", "day_number": "IntegerType"}
"""The same of every task's sample table."""


def build(
    table: str,
    conf: Config,
    days: Iterable[date],
    ids: Mapping[str, int] | None = None,
    learnt: Mapping[date, Bands] | None = None,
) -> ExpectationSuite:
    """The suite of a table.

    Args:
        table: one of `validation.tables`.
        conf: gives the bands (`gates`), the features (`fields`) and the tasks.
        days: the days that must be there; users and videos have none.
        ids: the largest id of each field, for the encoded samples; a field that is not there may hold 0 alone.
        learnt: the bands of days that have some, for `silver/samples`.
    """
    rules = [*_schema(table, conf), gxe.ExpectTableRowCountToBeBetween(min_value=1)]
    if table not in (USERS, VIDEOS):
        rules.append(every_day(days))
    task = {task.table: task for task in tasks_of(conf).values()}.get(table)
    rules += _encoded(task, conf, ids or {}) if task else _RULES[table](conf)
    if table == SAMPLES and learnt:
        rules += _as_before(learnt, conf.gates.learnt.warn)
    return ExpectationSuite(name=validation.page(table), expectations=rules)


def _raw_events(conf: Config) -> Rules:
    return [few_null(column, conf) for column in ("impression_id", "ts")]


def _raw_impressions(conf: Config) -> Rules:
    return [few_null(column, conf) for column in ("impression_id", "user_id", "video_id", "ts")]


def _raw_plays(conf: Config) -> Rules:
    most = conf.gates.max_quarantined
    bad = f"watched_seconds IS NULL OR watched_seconds NOT BETWEEN 0 AND {sys.float_info.max}"
    text = f"each day, at most {most} of the watched seconds are missing, negative or infinite"
    return [*_raw_events(conf), daily_share("watched_seconds", text, bad, "true", most)]


def _users(conf: Config) -> Rules:
    return [*not_null("user_id"), unique("user_id")]


def _videos(conf: Config) -> Rules:
    return [*not_null("video_id"), unique("video_id")]


def _samples(conf: Config) -> Rules:
    gates = conf.gates
    long_enough = f"length_seconds > 0 AND length_seconds <= {sys.float_info.max}"
    return [
        *not_null("impression_id", "user_id", "video_id", "ts", "day", "clicked"),
        unique("impression_id"),
        gxe.ExpectColumnValuesToBeInSet(column="clicked", value_set=[0, 1]),
        gxe.ExpectColumnValuesToBeBetween(column="cvr", min_value=0, max_value=1),
        # The largest double as the end keeps out infinity and NaN, which Spark orders after every number.
        gxe.ExpectColumnValuesToBeBetween(column="watched_seconds", min_value=0, max_value=sys.float_info.max),
        none_where(
            "cvr",
            "no row that was not clicked, or that has no length, has a cvr",
            f"cvr IS NOT NULL AND NOT coalesce(clicked = 1 AND {long_enough}, false)",
        ),
        none_where(
            "cvr",
            "every row that was clicked and has a length has a cvr",
            f"cvr IS NULL AND clicked = 1 AND {long_enough}",
        ),
        daily_share(
            "cvr",
            f"each day, at most {gates.max_unlabelled} of the clicked rows lack a cvr",
            "cvr IS NULL AND clicked = 1",
            "clicked = 1",
            gates.max_unlabelled,
        ),
        daily_mean("clicked", gates.click_rate),
        daily_mean("cvr", gates.mean_cvr),
    ]


def _as_before(learnt: Mapping[date, Bands], warn: Sequence[str]) -> Rules:
    """A day's figures are as those of the days before it let expect, a rule for each kind."""
    kinds: dict[str, list[str]] = {}
    for day, bands in learnt.items():
        for name, band in bands.items():
            kind, _, column = name.partition(".")
            row = f"({day_literal(day)}, '{column}', {band.low!r}D, {band.high!r}D, {band.found!r}D)"
            kinds.setdefault(kind, []).append(row)
    return [
        ExpectNoRows(
            column=_FIGURES[kind][0],
            description=f"each day's {_FIGURES[kind][1]} is as the days before it let expect",
            severity=FailureSeverity.WARNING if kind in warn else FailureSeverity.CRITICAL,
            unexpected_rows_query=_outside(_FIGURES[kind][2], ", ".join(rows)),
        )
        for kind, rows in kinds.items()
    ]


def _outside(value: str | None, rows: str) -> str:
    """The query for figures outside of their bands: counted on the batch, or as `ncs label` has found them."""
    if value:
        return (
            f"SELECT day, {value} AS found, low, high FROM {{batch}} JOIN (VALUES {rows}) AS learnt "
            "(day, name, low, high, labelled) USING (day) GROUP BY day, low, high "
            "HAVING found NOT BETWEEN low AND high ORDER BY day"
        )
    return (
        f"SELECT day, name, found, low, high FROM (VALUES {rows}) AS learnt (day, name, low, high, found) "
        "WHERE found NOT BETWEEN low AND high AND day IN (SELECT day FROM {batch}) ORDER BY day, name"
    )


def _encoded(task: Task, conf: Config, ids: Mapping[str, int]) -> Rules:
    others = [other.label for other in tasks_of(conf).values() if other.name != task.name]
    return [
        *not_null(*ENCODED, *conf.fields, task.label),
        unique("impression_id"),
        in_set("split", ["train", "validation", "test"]),
        *(
            gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0, max_value=ids.get(name, 0))
            for name in conf.fields
        ),
        # NaN, which is no number of another kind to Spark but the largest of all, lies not between.
        in_set(task.label, [0, 1])
        if task.name == CTR
        else gxe.ExpectColumnValuesToBeBetween(column=task.label, min_value=0, max_value=1),
        *(
            none_where(
                other,
                f"{other} is within [0, 1], or NaN where there is no such label",
                f"`{other}` IS NULL OR NOT (isnan(`{other}`) OR `{other}` BETWEEN 0 AND 1)",
            )
            for other in others
        ),
    ]


def _predictions(conf: Config) -> Rules:
    tasks = tasks_of(conf)
    further = [task.prediction for task in tasks.values() if task.name not in (CTR, CVR)]
    return [
        *not_null(*COLUMNS[PREDICTIONS], tasks[CTR].prediction, tasks[CVR].prediction),
        unique("run_id", "model", "impression_id"),
        *(
            gxe.ExpectColumnValuesToBeBetween(
                column=task.prediction, min_value=0, max_value=1, strict_min=True, strict_max=True
            )
            for task in tasks.values()
        ),
        *(
            ExpectNoRows(
                column=column,
                description=f"a run has {column} in all of its rows or, made without that task, in none",
                unexpected_rows_query=f"SELECT run_id, count_if(`{column}` IS NULL) AS missing, count(*) AS rows FROM "
                "{batch} GROUP BY run_id HAVING missing BETWEEN 1 AND rows - 1 ORDER BY run_id",
            )
            for column in further
        ),
        ExpectNoRows(
            column="model",
            description="all models of a run predict the same number of rows",
            unexpected_rows_query="SELECT * FROM (SELECT run_id, model, count(*) AS rows, max(count(*)) OVER "
            "(PARTITION BY run_id) AS rows_of_others FROM {batch} GROUP BY run_id, model) "
            "WHERE rows < rows_of_others ORDER BY run_id, model",
        ),
    ]


_FIGURES = {
    "rows": ("day", "number of rows", "count(*)"),
    "click_rate": ("clicked", "click rate", "avg(clicked)"),
    "mean_cvr": ("cvr", "mean label", "avg(cvr)"),
    "unlabelled": (
        "cvr",
        "share of clicked rows without a label",
        "count_if(cvr IS NULL AND clicked = 1) / nullif(count_if(clicked = 1), 0)",
    ),
    "nulls": ("(columns)", "share of rows without a value", None),
    "new_ids": ("(columns)", "share of ids that the days before did not have", None),
    "shift": ("(columns)", "distribution (population stability index)", None),
}
"""Of `validation.bands`: kind -> column, text, and the same figure as SQL where it is not of every column."""

_RULES: dict[str, Callable[[Config], Rules]] = {
    IMPRESSIONS: _raw_impressions,
    CLICKS: _raw_events,
    PLAYS: _raw_plays,
    USERS: _users,
    VIDEOS: _videos,
    SAMPLES: _samples,
    PREDICTIONS: _predictions,
}


def _schema(table: str, conf: Config) -> Rules:
    tasks = tasks_of(conf).values()
    types = dict(COLUMNS.get(table, ENCODED))
    if table == PREDICTIONS:
        types |= {task.prediction: "DoubleType" for task in tasks}
    elif table not in COLUMNS:
        types |= dict.fromkeys(conf.fields, "IntegerType") | {task.label: "FloatType" for task in tasks}
    names = {*types, *(conf.fields if table == SAMPLES else ())}
    return [
        gxe.ExpectTableColumnsToMatchSet(column_set=sorted(names), exact_match=False),
        *(gxe.ExpectColumnValuesToBeOfType(column=name, type_=kind) for name, kind in types.items()),
    ]
