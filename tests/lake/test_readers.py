"""What analysts type reads every table: pandas, pyarrow, Polars and DuckDB, in the project's own environment."""

import zipfile
from pathlib import Path

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable

from tests.factories import ROOT

UNTYPED = "gold/differences"
"""Version 0.1 wrote it with a column without a type, which `ncs migrate` types."""


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tables of a small lake, by name."""
    root = tmp_path_factory.mktemp("lake")
    with zipfile.ZipFile(ROOT / "tests" / "data" / "lake_0.1.zip") as kept:
        kept.extractall(root)
    logs = sorted(Path(root).glob("*/*/_delta_log"))
    return {str(log.parent.relative_to(root)): str(log.parent) for log in logs}


def test_every_table_has_the_same_rows_for_every_reader(tables: dict[str, str]) -> None:
    assert len(tables) == 18
    for name, path in tables.items():
        if name == UNTYPED:
            continue
        table = DeltaTable(path)
        arrow = table.to_pyarrow_dataset()
        counts = {
            "pandas": len(table.to_pandas()),
            "pyarrow": table.to_pyarrow_table().num_rows,
            "polars": pl.read_delta(path).height,
            "duckdb": duckdb.sql("SELECT count(*) FROM arrow").fetchall()[0][0],
        }
        assert set(counts.values()) == {arrow.count_rows()}, (name, counts)
