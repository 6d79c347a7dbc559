"""The gate: check tables against their suites, keep the verdicts beside the tables, stop the flow when one is bad.

Below `<lake>/validation` stand the verdicts (`silver-samples.json` the newest, `verdicts` all of each day) and the page
that shows them (`quality.html`).
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncs.config import Config
from ncs.errors import GateError
from ncs.lake import storage
from ncs.lake.layout import Lake
from validation import quality_page, verdicts
from validation.rules import RULE, Rule, Suite
from validation.verdicts import Finding, Verdict

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.datasource.fluent import SparkDatasource

# Counts come from one pass for all columns; fetching examples of bad values would be a Spark job a rule.
_RESULT = {"result_format": "BASIC", "partial_unexpected_count": 0}
_SHOWN = 5


class Gate:
    """The gate of a lake: `check` tables one by one, then `enforce` what came out."""

    def __init__(self, lake: Lake, conf: Config) -> None:
        self.lake = lake
        self.conf = conf
        self.run = f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
        self._checked: list[Verdict] = []  # verdicts that are not recorded yet

    def check(self, frame: DataFrame, suite: Suite, table: str, version: int, days: str, digest: str) -> Verdict:
        """Check `frame`, the rows of a table's version, against a suite and write the verdict.

        The frame is kept in Spark's memory meanwhile, for each query of the suite passes over it.
        """
        frame.persist()
        try:
            suite = suite.computable({column.name: type(column.dataType).__name__ for column in frame.schema})
            findings = [_finding(frame, suite, result) for result in self._validate(frame, suite).results]
        finally:
            frame.unpersist()
            frame.sparkSession.catalog.dropTempView("tmp_view")  # left behind by the queries
        success = all(finding.met or finding.warns for finding in findings)
        verdict = Verdict(table, version, days, digest, success, sorted(findings, key=str))
        storage.write_json(verdicts.uri(self.lake, suite.name), asdict(verdict))
        self._checked.append(verdict)
        return verdict

    def enforce(self, checked: Iterable[Verdict]) -> None:
        """Record what was checked, write the page, and let good tables pass.

        Raises GateError with every expectation that failed, on what column, with counts.
        """
        if self._checked:
            verdicts.keep(self.lake, self._checked, self.run)
            self._checked = []
            quality_page.write(self.lake, self.conf)
        bad = [verdict for verdict in checked if not verdict.success]
        if bad:
            lines = ["data validation failed", *map(str, bad), f"See {quality_page.uri(self.lake)}"]
            raise GateError("\n".join(lines))

    @cached_property
    def _source(self) -> "SparkDatasource":
        """Great Expectations' door to Spark, of a project that lives in memory alone."""
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        return context.data_sources.add_spark("lake", persist=False)  # check persists, and lets go

    def _validate(self, frame: DataFrame, suite: Suite) -> "ExpectationSuiteValidationResult":
        asset = self._source.add_dataframe_asset(f"{suite.name}-{len(self._checked)}")
        batch = asset.add_batch_definition_whole_dataframe("rows").get_batch({"dataframe": frame})
        return batch.validate(suite.expectations(), result_format=_RESULT)


def _rule_at_fault(suite: Suite, result: "ExpectationValidationResult") -> Rule:
    """The rule that a result is of."""
    config = result.expectation_config
    assert config is not None
    return suite.rules[(config.meta or {})[RULE]]


def _finding(frame: DataFrame, suite: Suite, result: "ExpectationValidationResult") -> Finding:
    from great_expectations.expectations.metadata_types import FailureSeverity

    config = result.expectation_config
    assert config is not None
    kwargs = {key: value for key, value in config.kwargs.items() if key not in ("column", "batch_id")}
    rule = config.description or ", ".join(f"{key}={value}" for key, value in kwargs.items()) or "holds"
    return Finding(
        column=config.kwargs.get("column", "(table)"),
        rule=rule,
        found=_found(result),
        expectation=config.type,
        days=_days(result),
        warns=config.severity == FailureSeverity.WARNING,
        met=bool(result.success),
        examples=[] if result.success else _examples(frame, _rule_at_fault(suite, result), result),
    )


def _examples(frame: DataFrame, rule: Rule, result: "ExpectationValidationResult") -> list[str]:
    """Some rows that break a rule, as JSON; of a query on days or keys its exceptions, with their figures."""
    exceptions = result.result.get("details", {}).get("unexpected_rows") or []
    condition = rule.bad_rows()
    if condition is None or not (exceptions or "element_count" in result.result):  # it could not be computed
        return [", ".join(f"{key} {value}" for key, value in row.items()) for row in exceptions[:_SHOWN]]
    bad, days = frame.where(condition), [row["day"] for row in exceptions if row.get("day")]
    return (bad.where(F.col("day").isin(days)) if days else bad).limit(_SHOWN).toJSON().collect()


def _days(result: "ExpectationValidationResult") -> list[str]:
    """The days at fault, where the rows of a query name them."""
    rows = result.result.get("details", {}).get("unexpected_rows") or []
    return sorted({str(row["day"]) for row in rows if row.get("day")})


def _found(result: "ExpectationValidationResult") -> str:
    values = result.result
    rows = values.get("details", {}).get("unexpected_rows")
    missing = values.get("details", {}).get("mismatched", {}).get("missing")
    if rows:
        shown = "; ".join(_row(row) for row in rows[:_SHOWN])
        return shown + (f"; and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else "")
    if missing:
        return f"no column {', '.join(missing)}"
    if "unexpected_count" in values:
        among = values["element_count"] - (values.get("missing_count") or 0)
        count = values["unexpected_count"] or 0  # None: the table is empty
        return f"{count} of {among} rows that do not ({count / max(among, 1):.3%})"
    if "observed_value" in values:
        return str(values["observed_value"])
    return f"nothing, it could not be computed: {_exception(result.exception_info)}"


def _row(row: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{key} {value:.6g}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()
    )


def _exception(info: Mapping[str, Any]) -> str:
    for each in (info, *(value for value in info.values() if isinstance(value, Mapping))):
        if each.get("exception_message"):
            return str(each["exception_message"]).strip().splitlines()[0]
    return "no reason given"
