"""A rule yields the condition of its bad rows and its expectation; a suite's digest is of what its rules declare."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from pyspark.sql import SparkSession

from ncs.config import Config
from ncs.days import Days
from tests.factories import toy_conf
from validation import suites
from validation.queries import none_where
from validation.rules import InSet, NoRows, NotNull, Rule, Suite, Within

DAYS = Days.parse("2022-04-08..2022-04-09")
NAN = float("nan")


@pytest.mark.parametrize(
    ("rule", "bad"),
    [
        (NotNull("a `b`"), [3]),
        (InSet("a `b`", (0.0, 0.5)), [2, 4, 5]),
        (Within("a `b`", 0, 1), [4, 5]),
        (Within("a `b`", 0, 1, strict=True), [0, 2, 4, 5]),
        (Within("a `b`", 0.5, None), [0, 5]),
        (none_where("n", "no n is 2", "n = 2"), [2]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_rule_knows_its_bad_rows(spark: SparkSession, rule: Rule, bad: list[int]) -> None:
    values = [0.0, 0.5, 1.0, None, NAN, -1.0]
    frame = spark.createDataFrame(list(enumerate(values)), "n int, `a ``b``` double")
    condition = rule.bad_rows()
    assert condition is not None
    assert sorted(row.n for row in frame.where(condition).collect()) == bad


def test_a_suites_digest_changes_with_what_its_rules_say(load_conf: Callable[..., Config]) -> None:
    def digest(*keys: str, table: str = "silver/samples", days: Days = DAYS) -> str:
        return suites.build(table, load_conf(*keys), days).digest()

    first = digest()
    assert digest() == first
    assert digest("train.seed=99") == first, "no rule is of it"
    assert digest("gates.max_unlabelled=0.25") != first
    assert digest(days=DAYS.widened(after=1)) != first
    assert digest(table="gold/cvr_samples") != first
    suite = suites.build("silver/samples", load_conf(), DAYS)
    query, *rest = [rule for rule in suite.rules if isinstance(rule, NoRows)]
    digests = {
        Suite(suite.name, [rule, *rest]).digest()
        for rule in (query, replace(query, description="other words"), replace(query, warns=True))
    }
    assert len(digests) == 3
    assert suite.digest(vocabulary=2) != suite.digest(vocabulary=1)


def test_what_columns_declare_is_in_the_suite() -> None:
    rules = suites.build("silver/samples", toy_conf(), DAYS).rules
    assert InSet("clicked", (0, 1)) in rules
    assert Within("cvr", 0, 1) in rules
    required = ["impression_id", "user_id", "video_id", "ts", "day", "clicked", "watched_seconds"]
    assert [rule.column for rule in rules if isinstance(rule, NotNull)] == required
    predictions = suites.build("gold/predictions", toy_conf(), DAYS).rules
    assert Within("pctr", 0, 1, strict=True) in predictions


def test_a_gate_with_nothing_to_do_does_not_pay_for_great_expectations() -> None:
    code = "import sys, jobs.validate; sys.exit('great_expectations' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
