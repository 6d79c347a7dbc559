"""A table is declared once: its schemas, constraints, comments and upkeep follow."""

import runpy
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Annotated

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Schema

from jobs.stage import stages
from ncs.lake import contract, layout, names, tables, upkeep
from ncs.lake.columns import Between, Column, Nulls, OneOf, row_columns
from ncs.lake.layout import Lake
from ncs.lake.tables import TABLES, declared_table
from ncs.lake.tables.rows import Figure
from ncs.lake.tables.table import Table
from tests.factories import ROOT


@dataclass(frozen=True)
class WithMedian(Figure):
    """A row of gold/evaluations with a column more."""

    median: Annotated[float | None, Column("double", "median error", values=Between("median_is_known", 0, 9))] = None


@pytest.fixture
def wider(monkeypatch: pytest.MonkeyPatch) -> None:
    declared = replace(TABLES[layout.EVALUATIONS], columns=row_columns(WithMedian))
    monkeypatch.setattr(tables, "TABLES", {**TABLES, layout.EVALUATIONS: declared})


@pytest.mark.usefixtures("wider")
def test_a_column_that_joins_is_declared_in_one_place(lake: Lake) -> None:
    """What is written, Delta's comment and constraint, and the data dictionary follow from the row's class."""
    declared = declared_table(layout.EVALUATIONS)
    assert declared.ddl.endswith(", `gain` double, `median` double")
    assert "| `median` | double | median error |" in runpy.run_path(str(ROOT / "docs" / "hooks.py"))["section"](
        declared
    )
    row = WithMedian("r", "a", "ctr", "auc", 0.7, 0.6, 0.8, 9, "a", 0.0, 0.1)
    assert asdict(row).keys() == declared.columns.keys()
    uri = lake.uri(layout.EVALUATIONS)
    contract.ensure(uri, Schema.from_arrow(declared.arrow), declared.partition)
    (median,) = (column for column in DeltaTable(uri).schema().fields if column.name == "median")
    assert median.metadata["comment"] == "median error"
    found = DeltaTable(uri).metadata().configuration["delta.constraints.median_is_known"]
    assert found == "median IS NULL OR median BETWEEN 0 AND 9"


def test_constraints_follow_from_what_columns_say() -> None:
    number = Column("long", "", values=Between("n_is_known", 1))
    assert number.check("n") == {"n_is_known": "n IS NULL OR n >= 1"}
    assert number.required.check("n") == {"n_is_known": "n >= 1"}
    assert Column("string", "", values=OneOf("s_is_known", ("a", "b"))).required.check("s") == {
        "s_is_known": "s IN ('a', 'b')"
    }
    samples = declared_table(layout.SAMPLES)
    assert samples.required == ["impression_id", "user_id", "video_id", "ts", "day", "clicked", "watched_seconds"]
    assert set(samples.constraints) == {
        "clicked_is_0_or_1",
        "watched_is_finite",
        "cvr_is_a_share",
        "cvr_only_of_clicks",
    }


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_declarations_fit_together(table: Table) -> None:
    assert {*table.partition, *table.key, *table.cluster_by, *table.required} <= table.columns.keys()
    assert table.arrow.names == list(table.columns)
    assert all(table.columns[name].nulls is not Nulls.ALLOWED for name in table.key), "a key has a value in every row"
    assert not (table.cluster_by and not table.compact)


def test_a_column_without_any_value_has_its_declared_type(lake: Lake) -> None:
    """Of one seed and no repository: neither `git` nor `relative` has a value, and the next rows may have one."""
    row = {"comparison_id": "x", "model": "a", "reference": "b", "task": "ctr", "metric": "auc", "difference": 0.5}
    for relative in (None, 0.1):
        contract.append(lake, layout.DIFFERENCES, pa.Table.from_pylist([{**row, "relative": relative, "better": None}]))
    kinds = {column.name: column.type.type for column in lake.table(layout.DIFFERENCES).schema().fields}
    assert (kinds["relative"], kinds["better"]) == ("double", "boolean")
    found = lake.read(layout.DIFFERENCES, lake.version(layout.DIFFERENCES), ["relative"])["relative"].to_pylist()
    assert sorted(found, key=str) == [0.1, None]


@pytest.mark.parametrize("name", [layout.SLICES, layout.MASKS, layout.CALIBRATION, layout.EVALUATIONS])
def test_small_files_of_every_result_are_put_together(lake: Lake, name: str) -> None:
    declared = declared_table(name)
    contract.ensure(lake.uri(name), Schema.from_arrow(declared.arrow), declared.partition)
    kinds = {"string": "a", "integer": 1, "long": 1, "double": 0.5}
    row = {column: kinds[kind.type] for column, kind in declared.columns.items()}
    for _ in range(2):
        rows = pa.Table.from_pylist([row], declared.arrow)
        contract.append(lake, name, rows)
    assert upkeep.survey(lake, name, 2**20, timedelta(days=7), set()).crowded == {"a": 2}


def test_the_stage_of_a_table_says_that_it_writes_it() -> None:
    for name, table in TABLES.items():
        written = names.ENCODED if tables.is_sample_table(name) else name
        assert written in stages()[table.stage].writes, name
