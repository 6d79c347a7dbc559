"""What each table must be, as Great Expectations suites: pure functions of the configuration and the days.

Rules on single columns are Great Expectations' own; their counts share one pass over the table. Rules on days, keys
and several columns are queries whose rows are the exceptions, so that a failure names the day.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import great_expectations.expectations as gxe
from great_expectations import ExpectationSuite
from great_expectations.expectations.expectation import Expectation

import validation
from ncs.config import Config
from ncs.days import Days
from ncs.lake.layout import CLICKS, IMPRESSIONS, PLAYS, PREDICTIONS, SAMPLES, USERS, VIDEOS
from ncs.tasks import CTR, CVR, Task, tasks_of

Rules = list[Expectation]

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
    PREDICTIONS: {"run_id": "StringType", "system": "StringType", **_PAIR, "day": "DateType"},
}
"""The columns that a table must have, and their Spark types; those of `fields` and `tasks` come on top."""
ENCODED = {"impression_id": "StringType", "day": "DateType", "split": "StringType", "day_number": "IntegerType"}
"""The same of every task's sample table."""


class ExpectNoRows(gxe.UnexpectedRowsExpectation):
    """A query on the batch gives no rows; those that it gives are the exceptions and are kept in the result.

    The parent runs the query twice, to count and to fetch, and then keeps the count alone.
    """

    column: str
    metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows_query.table",)

    def _validate(
        self, metrics: dict, runtime_configuration: dict | None = None, execution_engine: Any = None
    ) -> dict[str, Any]:
        rows = metrics["unexpected_rows_query.table"]
        return {
            "success": not rows,
            "result": {"observed_value": len(rows), "details": {"unexpected_rows": rows}},
        }


def build(table: str, conf: Config, days: Days, ids: Mapping[str, int] | None = None) -> ExpectationSuite:
    """The suite of a table.

    Args:
        table: one of `validation.tables`.
        conf: gives the bands (`gates`), the features (`fields`) and the tasks.
        days: the days that must be there; users and videos have none.
        ids: the largest id of each field, for the encoded samples; a field that is not there may hold 0 alone.
    """
    rules = [*_schema(table, conf), gxe.ExpectTableRowCountToBeBetween(min_value=1)]
    if table not in (USERS, VIDEOS):
        rules.append(_every_day(days))
    task = {task.table: task for task in tasks_of(conf).values()}.get(table)
    rules += _encoded(task, conf, ids or {}) if task else _RULES[table](conf)
    return ExpectationSuite(name=validation.page(table), expectations=rules)


def _raw_events(conf: Config) -> Rules:
    return [_few_null(column, conf) for column in ("impression_id", "ts")]


def _raw_impressions(conf: Config) -> Rules:
    return [_few_null(column, conf) for column in ("impression_id", "user_id", "video_id", "ts")]


def _raw_plays(conf: Config) -> Rules:
    most = conf.gates.max_quarantined
    bad = f"watched_seconds IS NULL OR watched_seconds NOT BETWEEN 0 AND {sys.float_info.max}"
    text = f"each day, at most {most} of the watched seconds are missing, negative or infinite"
    return [*_raw_events(conf), _daily_share("watched_seconds", text, bad, "true", most)]


def _users(conf: Config) -> Rules:
    return [*_not_null("user_id"), _unique("user_id")]


def _videos(conf: Config) -> Rules:
    return [*_not_null("video_id"), _unique("video_id")]


def _samples(conf: Config) -> Rules:
    gates = conf.gates
    long_enough = f"length_seconds > 0 AND length_seconds <= {sys.float_info.max}"
    return [
        *_not_null("impression_id", "user_id", "video_id", "ts", "day", "clicked"),
        _unique("impression_id"),
        gxe.ExpectColumnValuesToBeInSet(column="clicked", value_set=[0, 1]),
        gxe.ExpectColumnValuesToBeBetween(column="cvr", min_value=0, max_value=1),
        # The largest double as the end keeps out infinity and NaN, which Spark orders after every number.
        gxe.ExpectColumnValuesToBeBetween(column="watched_seconds", min_value=0, max_value=sys.float_info.max),
        _none_where(
            "cvr",
            "no row that was not clicked, or that has no length, has a cvr",
            f"cvr IS NOT NULL AND NOT coalesce(clicked = 1 AND {long_enough}, false)",
        ),
        _none_where(
            "cvr",
            "every row that was clicked and has a length has a cvr",
            f"cvr IS NULL AND clicked = 1 AND {long_enough}",
        ),
        _daily_share(
            "cvr",
            f"each day, at most {gates.max_unlabelled} of the clicked rows lack a cvr",
            "cvr IS NULL AND clicked = 1",
            "clicked = 1",
            gates.max_unlabelled,
        ),
        _daily_mean("clicked", gates.click_rate),
        _daily_mean("cvr", gates.mean_cvr),
    ]


def _encoded(task: Task, conf: Config, ids: Mapping[str, int]) -> Rules:
    others = [other.label for other in tasks_of(conf).values() if other.name != task.name]
    return [
        *_not_null(*ENCODED, *conf.fields, task.label),
        _unique("impression_id"),
        _in_set("split", ["train", "validation", "test"]),
        *(
            gxe.ExpectColumnValuesToBeBetween(column=name, min_value=0, max_value=ids.get(name, 0))
            for name in conf.fields
        ),
        # NaN, which is no number of another kind to Spark but the largest of all, lies not between.
        _in_set(task.label, [0, 1])
        if task.name == CTR
        else gxe.ExpectColumnValuesToBeBetween(column=task.label, min_value=0, max_value=1),
        *(
            _none_where(
                other,
                f"{other} is within [0, 1], or NaN where there is no such label",
                f"{other} IS NULL OR NOT (isnan({other}) OR {other} BETWEEN 0 AND 1)",
            )
            for other in others
        ),
    ]


def _predictions(conf: Config) -> Rules:
    tasks = tasks_of(conf)
    further = [task.prediction for task in tasks.values() if task.name not in (CTR, CVR)]
    return [
        *_not_null(*COLUMNS[PREDICTIONS], tasks[CTR].prediction, tasks[CVR].prediction),
        _unique("run_id", "system", "impression_id"),
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
                unexpected_rows_query=f"SELECT run_id, count_if({column} IS NULL) AS missing, count(*) AS rows FROM "
                "{batch} GROUP BY run_id HAVING missing BETWEEN 1 AND rows - 1 ORDER BY run_id",
            )
            for column in further
        ),
        ExpectNoRows(
            column="system",
            description="all systems of a run predict the same number of rows",
            unexpected_rows_query="SELECT * FROM (SELECT run_id, system, count(*) AS rows, max(count(*)) OVER "
            "(PARTITION BY run_id) AS rows_of_others FROM {batch} GROUP BY run_id, system) "
            "WHERE rows < rows_of_others ORDER BY run_id, system",
        ),
    ]


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


def _not_null(*columns: str) -> Rules:
    return [gxe.ExpectColumnValuesToNotBeNull(column=column) for column in columns]


def _in_set(column: str, values: list[Any]) -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=values)


def _every_day(days: Days) -> Expectation:
    return ExpectNoRows(
        column="day",
        description=f"every day of {days} is there",
        unexpected_rows_query="SELECT wanted AS day FROM (SELECT explode(sequence("
        f"date'{days.first}', date'{days.last}')) AS wanted) LEFT ANTI JOIN {{batch}} ON day = wanted ORDER BY day",
    )


def _unique(*columns: str) -> Expectation:
    key = ", ".join(columns)
    present = " AND ".join(f"{column} IS NOT NULL" for column in columns)
    return ExpectNoRows(
        column=columns[-1],
        description=f"no {key} comes twice",
        # Great Expectations' own uniqueness sorts the whole table in a window; a hash aggregate is enough.
        unexpected_rows_query="SELECT count(*) AS repeated_keys, sum(n) AS rows, "
        f"to_json(min(key)) AS example FROM (SELECT struct({key}) AS key, count(*) AS n FROM {{batch}} "
        f"WHERE {present} GROUP BY {key}) WHERE n > 1 HAVING count(*) > 0",
    )


def _none_where(column: str, text: str, condition: str) -> Expectation:
    query = f"SELECT day, count(*) AS rows FROM {{batch}} WHERE {condition} GROUP BY day ORDER BY day"
    return ExpectNoRows(column=column, description=text, unexpected_rows_query=query)


def _few_null(column: str, conf: Config) -> Expectation:
    most = conf.gates.max_quarantined
    text = f"each day, at most {most} of the rows lack {column}"
    return _daily_share(column, text, f"{column} IS NULL", "true", most)


def _daily_share(column: str, text: str, bad: str, among: str, most: float) -> Expectation:
    return ExpectNoRows(
        column=column,
        description=text,
        unexpected_rows_query=f"SELECT day, count_if({bad}) AS found, count_if({among}) AS among FROM {{batch}} "
        f"GROUP BY day HAVING found > {most} * among ORDER BY day",
    )


def _daily_mean(column: str, band: list[float]) -> Expectation:
    low, high = band
    return ExpectNoRows(
        column=column,
        description=f"each day's mean of {column} is above 0 and lies in [{low}, {high}]",
        unexpected_rows_query=f"SELECT day, avg({column}) AS mean, count(*) AS rows FROM {{batch}} "
        f"GROUP BY day HAVING mean = 0 OR mean NOT BETWEEN {low} AND {high} ORDER BY day",
    )
