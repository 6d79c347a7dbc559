"""The rules of each table: pure functions of the configuration and the days.

What a table's declaration says of its columns and its key (`ncs.lake.tables`) is the fixed part. Rules on days, keys
and several columns are queries whose rows are the exceptions, so that a failure names the day.
"""

import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import validation
from ncs.config import Config, Gates
from ncs.config.checks import KEYS
from ncs.labels.join import DUPLICATE, REASONS
from ncs.lake.columns import UPDATED_AT, Between, Column, Nulls, OneOf, probability
from ncs.lake.layout import CLICKS, IMPRESSIONS, PLAYS, PREDICTIONS, SAMPLES, USERS, VIDEOS
from ncs.lake.tables import declared_table
from ncs.tasks import CTR, CVR, Task, named_tasks
from ncs.text import quoted
from validation.bands import Bands
from validation.inputs import input_column, inputs
from validation.queries import (
    daily_mean,
    daily_share,
    day_literal,
    every_day,
    few_null,
    none_where,
    text_literal,
    unique,
)
from validation.rules import HasColumns, HasRows, NoRows, Rule, Rules, Suite, as_declared


def build(
    table: str,
    conf: Config,
    days: Iterable[date],
    ids: Mapping[str, int] | None = None,
    learnt: Mapping[date, Bands] | None = None,
    reconciled_days: Mapping[date, Mapping[str, Any]] | None = None,
    columns: Collection[str] = (),
) -> Suite:
    """The suite of a table.

    Args:
        table: one of `validation.tables`.
        conf: gives the bands (`gates`), the features (`fields`) and the tasks.
        days: the days that must be there; users and videos have none.
        ids: the largest id of each field, for the encoded samples; a field that is not there may hold 0 alone.
        learnt: the bands of days that have some, for `silver/samples`.
        reconciled_days: what the commits of labelled days say of them, for `silver/samples`.
        columns: those of users and videos, which may have a row each or one of each time since when it holds.
    """
    task = {task.table: task for task in named_tasks(conf).values()}.get(table)
    declared = _columns(table, task, conf, ids or {})
    names = {*declared, *(_columns_of_samples(conf) if table == SAMPLES else ())}
    rules = [HasColumns(tuple(sorted(names))), HasRows(), *as_declared(declared)]
    if key := declared_table(table).key:
        rules.append(unique(*key, *([UPDATED_AT] if UPDATED_AT in columns else [])))
    if table not in (USERS, VIDEOS):
        rules.append(every_day(days))
    rules += [*_other_labels(task, conf), *inputs(conf, ids or {})] if task else _RULES.get(table, _no_more)(conf)
    if table == SAMPLES and learnt:
        rules += _as_before(learnt, conf.gates.learnt.warn)
    if table == SAMPLES and reconciled_days:
        rules += _reconciled(reconciled_days, conf.gates)
    return Suite(validation.page(table), rules)


def _columns_of_samples(conf: Config) -> set[str]:
    """The columns that the features are computed from."""
    return {*conf.fields, *(name for statistics in conf.statistics for name in statistics.by)}


def _columns(table: str, task: Task | None, conf: Config, ids: Mapping[str, int]) -> dict[str, Column]:
    """The declared columns of a table, and those that the fields and tasks of a configuration bring."""
    declared, tasks = declared_table(table).columns, named_tasks(conf).values()
    if table == PREDICTIONS:
        return {**{task.prediction: probability(task.prediction, "") for task in tasks}, **declared}
    if task is None:
        return dict(declared)
    shares = OneOf("", (0, 1)) if task.name == CTR else Between("", 0, 1)
    return {
        **{key: declared[key] for key in KEYS},
        **{slot.name: input_column(slot, conf, ids) for slot in conf.layout.slots},
        **{other.label: Column("float", "") for other in tasks},
        task.label: Column("float", "", Nulls.CHECKED, shares),
    }


def _no_more(conf: Config) -> Rules:
    return []


def _raw_events(conf: Config) -> Rules:
    return [few_null(column, conf) for column in ("impression_id", "ts")]


def _raw_impressions(conf: Config) -> Rules:
    return [few_null(column, conf) for column in ("impression_id", "user_id", "video_id", "ts")]


def _raw_plays(conf: Config) -> Rules:
    most = conf.gates.max_quarantined
    bad = f"watched_seconds IS NULL OR watched_seconds NOT BETWEEN 0 AND {sys.float_info.max}"
    text = f"each day, at most {most} of the watched seconds are missing, negative or infinite"
    return [*_raw_events(conf), daily_share("watched_seconds", text, bad, "true", most)]


def _samples(conf: Config) -> Rules:
    gates = conf.gates
    long_enough = f"length_seconds > 0 AND length_seconds <= {sys.float_info.max}"
    return [
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
            row = f"({day_literal(day)}, {text_literal(column)}, {band.low!r}D, {band.high!r}D, {band.value!r}D)"
            kinds.setdefault(kind, []).append(row)
    return [
        NoRows(
            column=_FIGURES[kind][0],
            description=f"each day's {_FIGURES[kind][1]} is as the days before it let expect",
            warns=kind in warn,
            query=_outside(_FIGURES[kind][2], ", ".join(rows)),
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


def _reconciled(reconciled_days: Mapping[date, Mapping[str, Any]], gates: Gates) -> Rules:
    """Few of the rows that the days were labelled from are set aside, whatever the reason, and few repeat another."""
    quarantined, repeated = [], []
    for day, facts in reconciled_days.items():
        for log, reconciled in facts.get("logs", {}).items():
            known, rows = facts.get("examples", {}).get(log, {}), reconciled["rows"]
            reasons = reconciled["quarantined"]
            total = sum(reasons.values())
            for reason, count in reasons.items() or [("none", 0)]:
                quarantined.append(_outcome_row(day, log, reason, count, total, rows, known.get(reason)))
            count = reconciled["duplicates"]
            repeated.append(_outcome_row(day, log, DUPLICATE, count, count, rows, known.get(DUPLICATE)))
    if not repeated:
        return []
    return [
        _at_most(gates.max_quarantined, "of a log's rows are in quarantine, all reasons together", quarantined),
        _at_most(gates.max_duplicates, "of a log's rows repeat another", repeated),
    ]


def _outcome_row(day: date, log: str, reason: str, count: int, total: int, rows: int, example: str | None) -> str:
    meaning = REASONS.get(
        reason, "rows of one impression_id with the same user and video, or events alike in all values"
    )
    texts = ", ".join(map(text_literal, (log, reason, example or "-", meaning)))
    return f"({day_literal(day)}, {int(count)}, {int(total)}, {int(rows)}, {texts})"


def _at_most(most: float, what: str, rows: list[str]) -> Rule:
    return NoRows(
        column="(logs)",
        description=f"each day, at most {most} {what}",
        query="SELECT day, log, reason, count, rows, count / rows AS share, example, meaning FROM "
        f"(VALUES {', '.join(rows)}) AS reconciled_days (day, count, total, rows, log, reason, example, meaning) "
        f"WHERE total > {most!r}D * rows AND count > 0 AND day IN (SELECT day FROM {{batch}}) "
        "ORDER BY day, log, count DESC",
    )


def _other_labels(task: Task, conf: Config) -> Rules:
    others = [other.label for other in named_tasks(conf).values() if other.name != task.name]
    return [
        none_where(
            other,
            f"{other} is within [0, 1], or NaN where there is no such label",
            f"{quoted(other)} IS NULL OR NOT (isnan({quoted(other)}) OR {quoted(other)} BETWEEN 0 AND 1)",
        )
        for other in others
    ]


def _predictions(conf: Config) -> Rules:
    tasks = named_tasks(conf)
    further = [task.prediction for task in tasks.values() if task.name not in (CTR, CVR)]
    return [
        *(
            NoRows(
                column=column,
                description=f"a run has {column} in all of its rows or, made without that task, in none",
                query=f"SELECT run_id, count_if({quoted(column)} IS NULL) AS missing, count(*) AS rows "
                "FROM {batch} GROUP BY run_id HAVING missing BETWEEN 1 AND rows - 1 ORDER BY run_id",
            )
            for column in further
        ),
        NoRows(
            column="model",
            description="all models of a run predict the same number of rows",
            query="SELECT * FROM (SELECT run_id, model, count(*) AS rows, max(count(*)) OVER "
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
    "psi": ("(columns)", "distribution (population stability index)", None),
}
"""Of `validation.bands`: kind -> column, text, and the same figure as SQL where it is not of every column."""

_RULES: dict[str, Callable[[Config], Rules]] = {
    IMPRESSIONS: _raw_impressions,
    CLICKS: _raw_events,
    PLAYS: _raw_plays,
    SAMPLES: _samples,
    PREDICTIONS: _predictions,
}
