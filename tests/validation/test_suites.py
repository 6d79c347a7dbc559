"""Every rule of every suite: good rows meet all of them, one broken row or day fails exactly the one it breaks."""

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncs.config import Config
from ncs.days import Days
from ncs.lake.layout import Lake
from tests.factories import toy_conf
from validation import suites, tables
from validation.gate import Gate
from validation.rules import HasType, NoRows, Within

FIELDS = (
    "fields={user_id: {side: user, encode: vocabulary}, video_id: {side: video, encode: vocabulary}, "
    "scene: {side: context, encode: vocabulary}}"
)
FINISH = "tasks.finish={label: cast(cvr >= 0.95 as float), loss: cross_entropy, metric: auc}"
DAYS = Days.parse("2022-04-08..2022-04-09")
FIRST, SECOND = DAYS
IDS = {"user_id": 3, "video_id": 3, "scene": 3}
PAIR = "impression_id string, user_id bigint, video_id bigint"
ENCODED = (
    "impression_id string, day date, split string, day_number int, user_id int, video_id int, scene int, "
    "clicked float, cvr float, finish float"
)
SCHEMAS = {
    "bronze/impressions": f"{PAIR}, ts timestamp, day date, scene string",
    "bronze/clicks": "impression_id string, ts timestamp, day date",
    "bronze/plays": "impression_id string, ts timestamp, watched_seconds double, day date",
    "bronze/users": "user_id bigint, age_group string",
    "bronze/videos": "video_id bigint, category string",
    "silver/samples": f"{PAIR}, ts timestamp, day date, scene string, length_seconds double, clicked int, "
    "watched_seconds double, cvr double",
    "gold/ctr_samples": ENCODED,
    "gold/cvr_samples": ENCODED,
    "gold/finish_samples": ENCODED,
    "gold/predictions": f"run_id string, model string, {PAIR}, day date, pctr double, pcvr double, pfinish double",
}
Rows = list[dict[str, Any]]
Change = Callable[[Rows], Any]


def good_rows() -> Rows:
    """Ten impressions a day with every column that a table may ask for; the even ones are clicked."""
    rows = []
    for n in range(20):
        day, clicked = (FIRST, SECOND)[n // 10], int(n % 2 == 0)
        rows.append(
            {
                "impression_id": f"i{n:02d}",
                "user_id": n,
                "video_id": n,
                "ts": datetime(day.year, day.month, day.day, 12, n),
                "day": day,
                "scene": "home",
                "length_seconds": 20.0,
                "clicked": clicked,
                "watched_seconds": 10.0 * clicked,
                "cvr": 0.5 if clicked else None,
                "age_group": "18-24",
                "category": "music",
                "split": "train",
                "day_number": n // 10,
                "pctr": 0.4,
                "pcvr": 0.5,
                "pfinish": 0.6,
                "run_id": "r1",
            }
        )
    return rows


def table_rows(table: str) -> Rows:
    rows = good_rows()
    if table.endswith("_samples") and table.startswith("gold"):
        labels = {"ctr": "clicked", "cvr": "cvr", "finish": "finish"}
        own = labels[table.removeprefix("gold/").removesuffix("_samples")]
        for n, row in enumerate(rows):
            row |= {"user_id": 3, "video_id": 0, "scene": 1, "clicked": 1.0, "cvr": 0.5, "finish": 0.0}
            row |= {label: float("nan") for label in labels.values() if n % 2 and label != own}
    if table == "gold/predictions":
        rows = [{**row, "model": model} for model in ("layer_share", "connection_share") for row in rows]
    return rows


def put(at: int | slice, **values: Any) -> Change:
    """A change of one row or several."""

    def change(rows: Rows) -> None:
        for row in rows[at] if isinstance(at, slice) else [rows[at]]:
            row.update(values)

    return change


def again(at: int) -> Change:
    return lambda rows: rows.append(copy.deepcopy(rows[at]))


def without(at: int | slice) -> Change:
    return lambda rows: rows.__delitem__(at)


SECOND_DAY = slice(10, 20)
CASES: list[tuple[str, Change, str, str, str]] = [
    # table, what is broken, column that is named, part of the rule, part of what was found
    (
        "bronze/impressions",
        put(slice(10, 12), user_id=None),
        "user_id",
        "lack user_id",
        f"day {SECOND}, found 2, among 10",
    ),
    ("bronze/impressions", put(3, ts=None), "ts", "lack ts", f"day {FIRST}, found 1, among 10"),
    ("bronze/impressions", without(SECOND_DAY), "day", f"every day of {DAYS}", f"day {SECOND}"),
    ("bronze/clicks", without(slice(0, 10)), "day", f"every day of {DAYS}", f"day {FIRST}"),
    ("bronze/clicks", put(0, impression_id=None), "impression_id", "lack impression_id", "found 1, among 10"),
    ("bronze/plays", put(12, watched_seconds=-1.0), "watched_seconds", "negative", f"day {SECOND}, found 1, among 10"),
    ("bronze/plays", put(12, watched_seconds=float("nan")), "watched_seconds", "infinite", "found 1, among 10"),
    (
        "bronze/users",
        put(1, user_id=0),
        "user_id",
        "no user_id comes twice",
        'repeated_keys 1, rows 2, example {"user_id":0}',
    ),
    ("bronze/users", put(1, user_id=None), "user_id", "holds", "1 of 20 rows that do not (5.000%)"),
    ("bronze/videos", again(7), "video_id", "no video_id comes twice", "repeated_keys 1, rows 2"),
    ("bronze/videos", put(1, video_id=None), "video_id", "holds", "1 of 20 rows"),
    ("silver/samples", put(2, impression_id="i00"), "impression_id", "comes twice", "repeated_keys 1, rows 2"),
    ("silver/samples", put(2, user_id=None), "user_id", "holds", "1 of 20 rows"),
    ("silver/samples", put(1, clicked=2), "clicked", "value_set=[0, 1]", "1 of 20 rows that do not (5.000%)"),
    ("silver/samples", put(0, cvr=1.5), "cvr", "max_value=1", "1 of 10 rows that do not (10.000%)"),
    ("silver/samples", put(0, watched_seconds=-1.0), "watched_seconds", "min_value=0", "1 of 20 rows"),
    ("silver/samples", put(0, watched_seconds=float("nan")), "watched_seconds", "min_value=0", "1 of 20 rows"),
    ("silver/samples", put(1, cvr=0.1), "cvr", "not clicked", f"day {FIRST}, rows 1"),
    ("silver/samples", put(0, length_seconds=0.0), "cvr", "has no length", f"day {FIRST}, rows 1"),
    ("silver/samples", put(10, cvr=None), "cvr", "has a length has a cvr", f"day {SECOND}, rows 1"),
    (
        "silver/samples",
        put(slice(10, 16), cvr=None, length_seconds=None),
        "cvr",
        "at most 0.5 of the clicked rows",
        f"day {SECOND}, found 3, among 5",
    ),
    (
        "silver/samples",
        put(SECOND_DAY, clicked=0, cvr=None),
        "clicked",
        "mean of clicked",
        f"day {SECOND}, mean 0, rows 10",
    ),
    ("silver/samples", put(slice(0, 10, 2), cvr=0.01), "cvr", "mean of cvr", f"day {FIRST}, mean 0.01, rows 10"),
    ("silver/samples", without(SECOND_DAY), "day", f"every day of {DAYS}", f"day {SECOND}"),
    ("gold/ctr_samples", put(0, scene=4), "scene", "max_value=3", "1 of 20 rows"),
    ("gold/ctr_samples", put(0, user_id=-1), "user_id", "min_value=0", "1 of 20 rows"),
    ("gold/ctr_samples", put(0, video_id=None), "video_id", "holds", "1 of 20 rows"),
    ("gold/ctr_samples", put(0, split="eval"), "split", "'validation'", "1 of 20 rows"),
    ("gold/ctr_samples", put(0, clicked=0.5), "clicked", "value_set", "1 of 20 rows"),
    ("gold/ctr_samples", again(0), "impression_id", "comes twice", "rows 2"),
    ("gold/cvr_samples", put(0, cvr=-0.1), "cvr", "min_value=0", "1 of 20 rows"),
    ("gold/cvr_samples", put(0, cvr=None), "cvr", "holds", "1 of 20 rows"),
    ("gold/ctr_samples", put(0, clicked=float("nan")), "clicked", "value_set", "1 of 20 rows"),
    ("gold/cvr_samples", put(0, cvr=float("nan")), "cvr", "max_value=1", "1 of 20 rows"),
    ("gold/ctr_samples", put(12, cvr=1.5), "cvr", "or NaN where", f"day {SECOND}, rows 1"),
    ("gold/ctr_samples", put(0, finish=None), "finish", "or NaN where", f"day {FIRST}, rows 1"),
    ("gold/finish_samples", put(0, finish=1.5), "finish", "max_value=1", "1 of 20 rows"),
    ("gold/finish_samples", put(0, clicked=-1.0), "clicked", "or NaN where", f"day {FIRST}, rows 1"),
    ("gold/predictions", put(0, pfinish=0.0), "pfinish", "strict_min=True", "1 of 40 rows"),
    ("gold/predictions", put(0, pfinish=None), "pfinish", "made without that task", "run_id r1, missing 1, rows 40"),
    ("gold/predictions", put(0, pctr=1.0), "pctr", "strict_max=True", "1 of 40 rows"),
    ("gold/predictions", put(0, pcvr=float("nan")), "pcvr", "strict_max=True", "1 of 40 rows"),
    ("gold/predictions", put(0, pcvr=None), "pcvr", "holds", "1 of 40 rows"),
    ("gold/predictions", put(1, impression_id="i00"), "impression_id", "comes twice", "repeated_keys 1, rows 2"),
    ("gold/predictions", without(0), "model", "same number", "model layer_share, rows 19, rows_of_others 20"),
]


@pytest.fixture(scope="module")
def conf(load_conf: Callable[..., Config]) -> Config:
    return load_conf(FIELDS, FINISH)


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, conf: Config) -> Gate:
    return Gate(Lake(str(tmp_path_factory.mktemp("suites"))), conf)


def frame(spark: SparkSession, table: str, rows: Rows) -> DataFrame:
    names = [column.split()[0] for column in SCHEMAS[table].split(", ")]
    return spark.createDataFrame([tuple(row[name] for name in names) for row in rows], SCHEMAS[table]).coalesce(1)


def check(gate: Gate, conf: Config, rows: DataFrame, table: str) -> Any:
    # A name of its own for each check: the gate of one run sees a table once.
    suite = suites.build(table, conf, DAYS, IDS)
    suite = replace(suite, name=f"{suite.name}-{id(suite)}")
    return gate.check(rows, suite, table, 0, str(DAYS), "digest")


@pytest.mark.parametrize("table", tables(toy_conf(FIELDS, FINISH)))
def test_good_rows_meet_every_expectation(spark: SparkSession, gate: Gate, conf: Config, table: str) -> None:
    verdict = check(gate, conf, frame(spark, table, table_rows(table)), table)
    assert verdict.failed == []
    assert verdict.success
    assert len(verdict.findings) == len(suites.build(table, conf, DAYS, IDS).rules)


@pytest.mark.parametrize(("table", "change", "column", "rule", "found"), CASES)
def test_one_fault_fails_exactly_its_expectation(
    spark: SparkSession, gate: Gate, conf: Config, table: str, change: Change, column: str, rule: str, found: str
) -> None:
    rows = table_rows(table)
    change(rows)
    verdict = check(gate, conf, frame(spark, table, rows), table)
    assert not verdict.success
    (failure,) = verdict.failed
    assert failure.column == column
    assert rule in failure.rule
    assert found in failure.found


def test_a_run_made_without_a_task_may_lack_its_predictions(spark: SparkSession, gate: Gate, conf: Config) -> None:
    rows = table_rows("gold/predictions")
    rows += [{**row, "run_id": "r0", "pfinish": None} for row in rows]
    assert check(gate, conf, frame(spark, "gold/predictions", rows), "gold/predictions").success
    for row in rows:
        row["pcvr"] = row["pfinish"]  # of which no run is made without
    (failure,) = check(gate, conf, frame(spark, "gold/predictions", rows), "gold/predictions").failed
    assert (failure.column, failure.rule) == ("pcvr", "holds")


def test_rows_set_aside_are_bounded_over_all_reasons_and_duplicates_by_themselves(
    spark: SparkSession, gate: Gate, conf: Config
) -> None:
    """Of each log and day; an id in the message is text, whatever it holds."""
    clean = {"rows": 100, "kept": 100, "duplicates": 0, "quarantined": {}}
    plays = {**clean, "quarantined": {"wrong_day": 3, "bad_watch": 3}}
    reconciled_days: dict[date, dict[str, Any]] = {
        FIRST: {"logs": {"impressions": clean, "clicks": {**clean, "quarantined": {"wrong_day": 5}}, "plays": plays}},
        SECOND: {"logs": {"impressions": {**clean, "duplicates": 11}, "clicks": {**clean, "duplicates": 10}}},
    }
    reconciled_days[FIRST]["examples"] = {"plays": {"bad_watch": "'{batch}\\\\';"}}
    rows = frame(spark, "silver/samples", good_rows())
    suite = suites.build("silver/samples", conf, DAYS, IDS, reconciled_days=reconciled_days)
    suite = replace(suite, name="silver-samples-reconciled_days")
    quarantined, repeated = sorted(
        gate.check(rows, suite, "silver/samples", 0, str(DAYS), "digest").failed, key=lambda failure: failure.rule
    )
    assert "at most 0.05 of a log's rows are in quarantine" in quarantined.rule
    assert quarantined.days == [str(FIRST)]
    for part in (
        f"day {FIRST}, log plays, reason wrong_day, count 3, rows 100, share 0.03, example -, meaning the time is not",
        "reason bad_watch, count 3, rows 100, share 0.03, example '{batch}\\\\';, meaning column watched_seconds",
    ):
        assert part in quarantined.found
    assert "clicks" not in quarantined.found
    assert "at most 0.1 of a log's rows repeat another" in repeated.rule
    assert f"day {SECOND}, log impressions, reason duplicate, count 11, rows 100, share 0.11" in repeated.found
    assert "clicks" not in repeated.found


def test_a_missing_column_is_the_only_failure(spark: SparkSession, gate: Gate, conf: Config) -> None:
    rows = frame(spark, "silver/samples", good_rows()).drop("scene", "cvr")
    (failure,) = check(gate, conf, rows, "silver/samples").failed
    assert failure.expectation == "expect_table_columns_to_match_set"
    assert failure.found == "no column cvr, scene"


def test_a_mistyped_column_is_the_only_failure(spark: SparkSession, gate: Gate, conf: Config) -> None:
    rows = frame(spark, "silver/samples", good_rows())
    rows = rows.withColumn("clicked", rows["clicked"].cast("string"))
    (failure,) = check(gate, conf, rows, "silver/samples").failed
    assert (failure.column, failure.rule, failure.found) == ("clicked", "type_=IntegerType", "StringType")


def test_an_empty_table_has_no_rows_and_no_days(spark: SparkSession, gate: Gate, conf: Config) -> None:
    failed = check(gate, conf, frame(spark, "bronze/clicks", []), "bronze/clicks").failed
    assert [(failure.column, failure.found) for failure in failed] == [
        ("(table)", "0"),
        ("day", f"day {date(2022, 4, 8)}; day {date(2022, 4, 9)}"),
    ]


def test_lists_numbers_and_vectors_are_as_their_features_say(spark: SparkSession) -> None:
    conf = toy_conf(
        "fields={user_id: {side: user, encode: vocabulary}, video_id: {side: video, encode: hash, size: 5}, "
        "tag: {side: video, encode: list, length: 3}, fans: {side: user, encode: number}, "
        "cover: {side: video, encode: vector, length: 2}}",
        "history={clicked: {of: [video_id], last: 2}}",
    )
    suite = suites.build("gold/ctr_samples", conf, [FIRST], {"user_id": 3, "tag": 4})
    columns = "day date, user_id int, video_id int, tag array<int>, fans float, cover array<float>, "
    columns += "clicked_video_id array<int>"
    nan, inf = float("nan"), float("inf")
    good = {"day": FIRST, "user_id": 3, "video_id": 5, "tag": [4, 0, -1], "fans": nan, "cover": [0.5, 0.0]}
    good |= {"clicked_video_id": [5, -1]}
    broken = {
        "user_id": [4],
        "video_id": [6, -1],
        "tag": [[1, 2], [5, -1, -1], [-1, 2, -1], [1, -2, -1], [1, None, -1]],
        "fans": [inf, -inf],
        "cover": [[0.5], [0.5, nan], [0.5, inf], [None, 0.5]],
        "clicked_video_id": [[6, -1], [-1, 1]],
    }
    names = [part.split()[0] for part in columns.split(", ")]
    rows = [good, *({**good, name: value} for name, values in broken.items() for value in values)]
    frame = spark.createDataFrame([tuple(row[name] for name in names) for row in rows], columns)
    rules = [rule for rule in suite.rules if isinstance(rule, Within | NoRows) and rule.column in broken]
    counts = frame.agg(*[F.count_if(rule.bad_rows()) for rule in rules]).first()
    assert dict(zip([rule.column for rule in rules], counts, strict=True)) == {
        name: len(values) for name, values in broken.items()
    }
    types = {column.name: type(column.dataType).__name__ for column in frame.schema}
    typed = [rule for rule in suite.rules if isinstance(rule, HasType) and rule.column in broken]
    assert {rule.column: rule.type for rule in typed} == {name: types[name] for name in broken}
