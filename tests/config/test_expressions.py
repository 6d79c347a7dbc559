"""What an expression of a configuration may be, and that what was checked is what runs."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ncs import config
from ncs.config.expressions import FUNCTIONS, parse_expression
from ncs.errors import ConfigError
from ncs.tasks import named_tasks
from tests.factories import ROOT, toy_conf

BASE = (ROOT / "conf" / "base.yaml").read_text()


@pytest.mark.parametrize(
    ("text", "sql", "columns"),
    [
        ("clicked", "clicked", {"clicked"}),
        ("like", "`like`", {"like"}),
        ("`a b` + 1", "`a b` + 1", {"a b"}),
        ("cast(cvr >= 0.95 as float)", "CAST(cvr >= 0.95 AS FLOAT)", {"cvr"}),
        ("case when a in (1, 'x') then 1 else -b end", "CASE WHEN a IN (1, 'x') THEN 1 ELSE -b END", {"a", "b"}),
        ("if(hour(ts) between 8 and 9, a, b)", "IF(HOUR(ts) BETWEEN 8 AND 9, a, b)", {"ts", "a", "b"}),
        ("a - (b - c)", "a - (b - c)", {"a", "b", "c"}),
        ("d like '50%' or e is not null", "d LIKE '50%' OR NOT e IS NULL", {"d", "e"}),
        ("ts > timestamp '2022-04-08 00:00:00'", "ts > CAST('2022-04-08 00:00:00' AS TIMESTAMP)", {"ts"}),
    ],
)
def test_a_function_of_the_row_is_rendered_anew(text: str, sql: str, columns: set[str]) -> None:
    found = parse_expression(text)
    assert (found.sql, found.columns) == (sql, columns)
    assert parse_expression(sql) == found


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    """A configuration as `run.json` holds it."""
    return toy_conf().public()


BEYOND = [
    "java_method('java.lang.System', 'getenv', 'HOME')",
    "`reflect`('java.lang.System', 'exit', 1)",
    "TRY_REFLECT('java.lang.System', 'exit', 1)",
    "IDENTIFIER('java_' || 'method')('java.lang.System', 'getenv', 'HOME')",
    "IDENTIFIER('clicked')",
    "coalesce(cast((MAP id USING 'sh -c id' AS (x STRING) FROM range(1)) as float), 0)",
    "(SELECT TRANSFORM (id) USING 'sh' FROM range(1))",
    "(SELECT max(user_id) FROM delta.`/other`)",
    "clicked IN (SELECT 1)",
    "EXISTS (TABLE other)",
    "read_files('/etc/passwd')",
    "ai_query('m', 'x')",
    "http_request('x')",
    "rand()",
    "uuid()",
    "input_file_name()",
    "current_user()",
    "current_user",
    "`current_timestamp`",
    "now()",
    "unix_timestamp()",
    "monotonically_increasing_id()",
    "spark_partition_id()",
    "sum(clicked)",
    "count(*)",
    "row_number() OVER (ORDER BY ts)",
    "explode(array(1, 2))",
    "transform(array(1), x -> x)",
    "aggregate(a, 0, (x, y) -> x + y)",
    "_metadata.file_path",
    "samples.clicked",
    "delta.`/other`",
    "*",
    ":name",
    "?",
    "${spark.app.name}",
    "'${env:HOME}'",
    "`${env:HOME}`",
    "@@x",
    "{{ x }}",
    "clicked -- hidden",
    "clicked /* hidden */",
    "clicked /*+ hint */ + 1",
    "clicked; DROP TABLE x",
    "1) FROM x WHERE (1",
    "clicked AS other",
    "clicked other",
    "named_struct('a', 1).a",
    "clicked[0]",
    "'it''s'",
    "'a\\'b'",
    "X'41'",
    "clicked\x00",
    "repeat('x', 1000000000)",
    "lpad('x', 1000000000, 'y')",
    "cast(clicked AS map<int, int>)",
    "interval 1 day",
    "f(clicked)",
    "catalog.schema.f(clicked)",
    "a IN ()",
    "",
    "((",
    "(" * 1000 + "a" + ")" * 1000,
    "+".join(["a"] * 2000),
    "a" * 5000 + "+1",
]


@pytest.mark.parametrize("text", BEYOND, ids=range(len(BEYOND)))
def test_nothing_beyond_the_row_is_an_expression(text: str, stored: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_expression(text)
    for key in ("label", "where"):
        finish = {"label": "cvr", "loss": "cross_entropy", "metric": "auc", key: text}
        conf = {**stored, "tasks": {**stored["tasks"], "finish": finish}}
        with pytest.raises(ConfigError) as refused:
            config.from_run({"run_id": "toy-1", "conf": conf})
        assert len(str(refused.value).splitlines()) == 1


WORDS = """
    a b clicked ( ) + - * / % = <> <= AND OR NOT IN BETWEEN LIKE IS NULL CASE WHEN THEN ELSE END , 1 2.5 'x' abs( if(
    cast( AS float select from reflect( java_method( IDENTIFIER( || :: [ ] . ; -- /* */ ` " ' \\ ${ } @ : -> =>
    OVER TRANSFORM USING TABLE VALUES WITH map( current_date interval date
"""


@given(st.lists(st.sampled_from(WORDS.split()), max_size=12).map(" ".join) | st.text(max_size=30))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_whatever_passes_is_stable_and_free_of_what_is_not_listed(text: str) -> None:
    try:
        found = parse_expression(text)
    except ValueError:
        return
    assert parse_expression(found.sql) == found
    lowered = found.sql.lower()
    for word in ("select", "reflect", "java_method", "transform(", "identifier(", "${", "--", "/*", ";", " over "):
        assert word not in lowered.replace("`select`", "").replace("`transform`", "").replace("`over`", ""), text


def test_what_runs_is_what_was_rendered() -> None:
    conf = toy_conf(
        "tasks.finish={label: 'cast(CVR>=0.95 as float)', where: clicked=1, loss: cross_entropy, metric: auc}"
    )
    task = named_tasks(conf)["finish"]
    assert (task.expression, task.where) == ("CAST(CVR >= 0.95 AS FLOAT)", "clicked = 1")
    assert named_tasks(toy_conf())["cvr"].where == "NOT (cvr) IS NULL"


def test_every_function_is_listed_where_configurations_are_described() -> None:
    described = set(BASE.replace(",", " ").split())
    types = {"float"} | {
        "boolean",
        "tinyint",
        "smallint",
        "int",
        "bigint",
        "double",
        "decimal",
        "string",
        "date",
        "timestamp",
    }
    synonyms = {
        *("signum", "negative", "positive", "ceiling", "power", "nullifzero", "zeroifnull", "char_length", "lcase"),
        *("timestamp", "character_length", "ucase", "substr", "date_diff", "to_unix_timestamp"),
    }
    assert FUNCTIONS - types - synonyms <= described


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["fields.clicked={side: context, encode: vocabulary}"], r"fields\.clicked: clicked says what happened after"),
        (["fields.Clicked={side: context, encode: vocabulary}"], r"fields\.Clicked: "),
        (["fields.watched_seconds={side: context, encode: buckets}"], r"fields\.watched_seconds: "),
        (["fields.cvr={side: context, encode: buckets}"], r"fields\.cvr: "),
        (
            ["tasks.finish={label: cast(Scene = 'feed' as int), loss: cross_entropy, metric: auc}",
             "fields.scene={side: context, encode: vocabulary}"],
            r"fields\.scene: scene is what tasks\.finish is computed from, so it is no feature; leave it out",
        ),
        (
            ["tasks.finish={label: cvr, where: position > 1, loss: cross_entropy, metric: auc}",
             "fields.position={side: context, encode: buckets}"],
            r"fields\.position: position is what tasks\.finish is computed from",
        ),
    ],
)  # fmt: skip
def test_what_a_label_knows_is_no_feature(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        toy_conf(*overrides)
