"""The gate: hold tables against their suites, keep the verdicts beside the tables, stop the flow when one is bad.

Below `<lake>/validation` stand the verdicts (`silver-samples.json` the newest, `verdicts` all of each day), Data Docs
(`data_docs/index.html`), and in `gx/` what Great Expectations makes the pages from: a suite's newest results, a page
a run. The pages need a folder: a lake at another kind of URI gets the verdicts alone.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame

from ncs.errors import GateError
from ncs.lake import storage
from ncs.lake.layout import Lake
from validation import examples, pages, verdicts
from validation.rules import RULE, Rule, Suite
from validation.verdicts import Failure, Verdict

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult, ExpectationValidationResult
    from great_expectations.data_context import EphemeralDataContext
    from great_expectations.data_context.types.base import DataContextConfig
    from great_expectations.datasource.fluent import SparkDatasource

# Counts come from one pass for all columns; fetching examples of bad values would be a Spark job a rule.
_RESULT = {"result_format": "BASIC", "partial_unexpected_count": 0}
_SHOWN = 5


class Gate:
    """The gate of a lake: `check` tables one by one, then `enforce` what came out."""

    def __init__(self, lake: Lake, pages: int = 1) -> None:
        """A gate that keeps the pages of a suite's last `pages` runs."""
        self.lake = lake
        self.run = f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
        self._pages = pages
        self._results: list[Any] = []  # identifiers of results that have no page yet
        self._checked: list[Verdict] = []  # verdicts that are not recorded yet

    def check(self, frame: DataFrame, suite: Suite, table: str, version: int, days: str, digest: str) -> Verdict:
        """Hold `frame`, the rows of a table's version, against a suite and write the verdict.

        The frame is kept in Spark's memory meanwhile, for each query of the suite passes over it.
        """
        frame.persist()
        try:
            suite = suite.computable({column.name: type(column.dataType).__name__ for column in frame.schema})
            result = self._validate(frame, suite)
            if not result.success:
                self._show_examples(frame, suite, result)
        finally:
            frame.unpersist()
            frame.sparkSession.catalog.dropTempView("tmp_view")  # left behind by the queries
        failed = sorted((_failure(each) for each in result.results if not each.success), key=str)
        success = all(failure.warns for failure in failed)
        verdict = Verdict(table, version, days, digest, success, failed, dict(result.statistics))
        storage.write_json(verdicts.uri(self.lake, suite.name), asdict(verdict))
        self._checked.append(verdict)
        return verdict

    def enforce(self, found: Iterable[Verdict]) -> None:
        """Record what was checked, render its pages, and let good tables pass.

        Raises GateError with every expectation that failed, on what column, with counts.
        """
        verdicts.keep(self.lake, self._checked, self.run)
        self._checked = []
        if self._results and self._folder:
            self._context.build_data_docs(resource_identifiers=self._results)
            pages.secure(storage.join(self._folder, "data_docs"))
            self._results = []
        bad = [verdict for verdict in found if not verdict.success]
        if bad:
            where = f"\nSee {storage.join(self._folder, 'data_docs', 'index.html')}" if self._folder else ""
            raise GateError("data validation failed\n" + "\n".join(map(str, bad)) + where)

    @property
    def _folder(self) -> str | None:
        return None if "://" in self.lake.root else self.lake.uri("validation")

    @cached_property
    def _context(self) -> "EphemeralDataContext":
        """A project whose settings live in memory, so that a killed run leaves none that cannot be read again."""
        import great_expectations as gx

        logging.getLogger("great_expectations").setLevel(logging.ERROR)
        return gx.get_context(mode="ephemeral", project_config=_project(self._folder))

    @cached_property
    def _source(self) -> "SparkDatasource":
        return self._context.data_sources.add_spark("lake", persist=False)  # check persists, and lets go

    def _validate(self, frame: DataFrame, suite: Suite) -> "ExpectationSuiteValidationResult":
        """Run the suite as a checkpoint of its name; its oldest results and pages make room."""
        from great_expectations import Checkpoint, RunIdentifier, ValidationDefinition

        context, name = self._context, suite.name
        storage.remove(self.lake.uri("validation", f"gx/expectations/{name}.json"))
        for kept in (f"gx/results/{name}", f"data_docs/validations/{name}"):
            folder = self.lake.uri("validation", kept)
            for run in storage.folders(folder)[: 1 - self._pages or None]:
                storage.remove(storage.join(folder, run))
        batch = self._source.add_dataframe_asset(name).add_batch_definition_whole_dataframe("days")
        definition = ValidationDefinition(name=name, data=batch, suite=context.suites.add(suite.expectations()))
        checkpoint = Checkpoint(
            name=name, validation_definitions=[context.validation_definitions.add(definition)], result_format=_RESULT
        )
        runs = context.checkpoints.add(checkpoint).run(
            batch_parameters={"dataframe": frame}, run_id=RunIdentifier(run_name=self.run)
        )
        ((identifier, result),) = runs.run_results.items()
        self._results += [identifier, identifier.expectation_suite_identifier]
        return result

    def _show_examples(self, frame: DataFrame, suite: Suite, result: "ExpectationSuiteValidationResult") -> None:
        """Put rows at fault on the page of what failed."""
        for each in result.results:
            if not each.success:
                examples.attach(frame, rule_of(suite, each), each)
        self._context.validation_results_store.set(self._results[-2], result)


def _project(folder: str | None) -> "DataContextConfig":
    """Great Expectations' settings: no progress bars; suites, results and pages below a folder if there is one."""
    from great_expectations.data_context.types import base

    def below(name: str, **more: str) -> dict[str, str]:
        place = storage.join(folder or "", name)
        return {"class_name": "TupleFilesystemStoreBackend", "base_directory": place, **more}

    project = base.DataContextConfig(
        store_backend_defaults=base.InMemoryStoreBackendDefaults(),
        data_docs_sites={},
        progress_bars=base.ProgressBarsConfig(globally=False),
    )
    if folder:
        stores, json = project.stores, {"filepath_suffix": ".json"}
        stores[project.expectations_store_name]["store_backend"] = below("gx/expectations", **json)
        stores[project.validation_results_store_name]["store_backend"] = below("gx/results", **json)
        project.data_docs_sites = {
            "lake": {
                "class_name": "SiteBuilder",
                "show_how_to_buttons": False,
                "store_backend": below("data_docs"),
                "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            }
        }
    return project


def rule_of(suite: Suite, result: "ExpectationValidationResult") -> Rule:
    """The rule that a result is of."""
    config = result.expectation_config
    assert config is not None
    return suite.rules[(config.meta or {})[RULE]]


def _failure(result: "ExpectationValidationResult") -> Failure:
    from great_expectations.expectations.metadata_types import FailureSeverity

    config = result.expectation_config
    assert config is not None
    kwargs = {key: value for key, value in config.kwargs.items() if key not in ("column", "batch_id")}
    rule = config.description or ", ".join(f"{key}={value}" for key, value in kwargs.items()) or "holds"
    warns = config.severity == FailureSeverity.WARNING
    return Failure(config.kwargs.get("column", "(table)"), rule, _found(result), config.type, _days(result), warns)


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
        count, among = values["unexpected_count"], values["element_count"] - values.get("missing_count", 0)
        return f"{count} of {among} rows that do not ({count / among:.3%})"
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
