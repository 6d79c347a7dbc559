"""A table holds every writer to its contract; one from before the contracts comes to it by migration."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Schema, write_deltalake
from deltalake.exceptions import DeltaError

from jobs.cli import main
from ncs.errors import DataError
from ncs.lake import contract, layout
from ncs.lake.layout import Lake
from ncs.lake.migrations import migrate
from tests.factories import ROOT

DAY = date(2022, 4, 8)
SAMPLE = {
    "impression_id": "i1",
    "user_id": 1,
    "video_id": 2,
    "ts": datetime(2022, 4, 8, 12),
    "day": DAY,
    "scene": "feed",
    "length_seconds": 20.0,
    "clicked": 1,
    "watched_seconds": 10.0,
    "cvr": 0.5,
}
SCHEMA = pa.schema(
    [
        ("impression_id", pa.string()),
        ("user_id", pa.int64()),
        ("video_id", pa.int64()),
        ("ts", pa.timestamp("us", "UTC")),
        ("day", pa.date32()),
        ("scene", pa.string()),
        ("length_seconds", pa.float64()),
        ("clicked", pa.int32()),
        ("watched_seconds", pa.float64()),
        ("cvr", pa.float64()),
    ]
)
FAULTS = [
    {"impression_id": None},
    {"user_id": None},
    {"clicked": 2},
    {"clicked": None},
    {"watched_seconds": -1.0},
    {"watched_seconds": float("inf")},
    {"cvr": 1.5},
    {"clicked": 0},  # and yet with a cvr
]


def sample(change: Mapping[str, Any]) -> pa.Table:
    return pa.Table.from_pylist([{**SAMPLE, **change}], SCHEMA)


def refuses(uri: str, rows: pa.Table) -> bool:
    """Whether another writer, one that is not ours, is kept from appending."""
    before = DeltaTable(uri).version()
    try:
        write_deltalake(uri, rows, mode="append")
    except DeltaError:
        return DeltaTable(uri).version() == before
    return False


def test_another_writer_cannot_break_the_samples(lake: Lake) -> None:
    uri = lake.uri(layout.SAMPLES)
    contract.ensure(uri, Schema.from_arrow(SCHEMA), ["day"])
    assert [fault for fault in FAULTS if not refuses(uri, sample(fault))] == []
    assert not refuses(uri, sample({"scene": None, "clicked": 0, "cvr": None}))
    assert DeltaTable(uri).version() == 1  # created in one commit


def test_labels_of_encoded_samples_are_shares_or_nan(lake: Lake) -> None:
    uri = lake.uri("gold/finish_samples")
    row = {"impression_id": "i1", "day": DAY, "split": "train", "day_number": 19090, "scene": 3, "finish": 0.5}
    kinds = [pa.string(), pa.date32(), pa.string(), pa.int32(), pa.int32(), pa.float32()]
    schema = pa.schema(list(zip(row, kinds, strict=True)))
    contract.ensure(uri, Schema.from_arrow(schema), ["day", "split"])
    for change, refused in (({}, False), ({"finish": float("nan")}, False), ({"finish": 1.5}, True)):
        assert refuses(uri, pa.Table.from_pylist([{**row, **change}], schema)) == refused, change
    assert refuses(uri, pa.Table.from_pylist([{**row, "split": "eval"}], schema))


def test_a_table_says_what_it_is(lake: Lake) -> None:
    uri = lake.uri(layout.SAMPLES)
    contract.ensure(uri, Schema.from_arrow(SCHEMA), ["day"])
    table = DeltaTable(uri)
    assert table.metadata().description == "Labelled impressions: a row an impression that was kept"
    comments = {column.name: column.metadata.get("comment", "") for column in table.schema().fields}
    assert comments["cvr"].startswith("min(watched / length, 1)")
    found = table.metadata().configuration
    assert {key: found[key] for key in contract.PROPERTIES} == contract.PROPERTIES
    assert contract.schema_version(table) == contract.SCHEMA_VERSION


def test_what_was_once_compared_stays(lake: Lake) -> None:
    """Neither we nor another writer can change or remove a past result; a later one may have a further column."""
    keys = ("comparison_id", "run_id", "model", "task", "metric")
    row = {**dict.fromkeys(keys, "x"), "seed": 7, "value": 0.5}
    contract.append(lake, layout.COMPARISONS, pa.Table.from_pylist([row]))
    contract.append(lake, layout.COMPARISONS, pa.Table.from_pylist([{**row, "seed": 8, "git": "abc"}]))
    table = lake.table(layout.COMPARISONS)
    before = table.version()
    with pytest.raises(DeltaError):
        table.delete("seed = 7")
    with pytest.raises(DeltaError):
        write_deltalake(lake.uri(layout.COMPARISONS), pa.Table.from_pylist([row]), mode="overwrite")
    assert refuses(lake.uri(layout.COMPARISONS), pa.Table.from_pylist([{**row, "seed": None}]))
    kept = lake.read(layout.COMPARISONS, before, ["seed", "git"]).sort_by("seed").to_pylist()
    assert kept == [{"seed": 7, "git": None}, {"seed": 8, "git": "abc"}]
    assert lake.version(layout.COMPARISONS) == before


def test_a_table_from_before_the_contracts_is_migrated(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    uri = lake.uri(layout.SAMPLES)
    write_deltalake(uri, sample({}), partition_by=["day"])
    with pytest.raises(DataError, match="is of schema version 0, this ncs writes 2; run `ncs migrate`"):
        contract.ensure(uri, Schema.from_arrow(SCHEMA), ["day"])
    command = ["migrate", "--conf", str(ROOT / "conf" / "demo.yaml"), "--lake", lake.root]
    assert main(command) == 0
    assert "silver/samples brought to schema version 2" in capsys.readouterr().err
    assert main(command) == 0
    assert "silver/samples up to date" in capsys.readouterr().err
    contract.ensure(uri, Schema.from_arrow(SCHEMA), ["day"])
    assert [fault for fault in FAULTS if not refuses(uri, sample(fault))] == []
    assert lake.read(layout.SAMPLES, lake.version(layout.SAMPLES), ["cvr"]).to_pylist() == [{"cvr": 0.5}]


def test_columns_are_renamed_with_their_rows_and_what_these_come_from(lake: Lake) -> None:
    """A table of version 1 says `system`, is never null there, and may be append-only."""
    uri, record = lake.uri(layout.COMPARISONS), layout.Record("compare", "all", {"conf": "x"}, {"rows": 2})
    names = ("comparison_id", "run_id", "seed", "system", "task", "metric", "value")
    kinds = {"seed": pa.int64(), "value": pa.float64()}
    schema = pa.schema([pa.field(name, kinds.get(name, pa.string()), nullable=False) for name in names])
    properties = {contract.VERSION_PROPERTY: "1", "delta.appendOnly": "true"}
    DeltaTable.create(uri, Schema.from_arrow(schema), configuration=properties, raise_if_key_not_exists=False)
    rows = pa.Table.from_pylist([{**dict.fromkeys(names, "a"), "seed": n, "value": 0.5 + n} for n in (7, 8)], schema)
    metadata = CommitProperties(custom_metadata={"userMetadata": layout.user_metadata([record])})
    write_deltalake(uri, rows, mode="append", commit_properties=metadata)
    assert migrate(uri) == [2]
    assert migrate(uri) == []
    table = DeltaTable(uri)
    assert [column.name for column in table.schema().fields] == [n.replace("system", "model") for n in names]
    assert [column.name for column in table.schema().fields if column.nullable] == []
    assert table.to_pandas()["model"].tolist() == ["a", "a"]
    assert sorted(table.to_pandas()["value"]) == [7.5, 8.5]
    assert lake.records(layout.COMPARISONS)["all"][1] == record
    with pytest.raises(DeltaError):
        table.delete("seed = 7")


def test_rows_that_break_the_contract_are_told_before_a_version_is_claimed(lake: Lake) -> None:
    uri = lake.uri(layout.SAMPLES)
    write_deltalake(uri, sample({"cvr": 7.0}), partition_by=["day"])
    with pytest.raises(DataError, match="its rows break 'cvr IS NULL OR cvr BETWEEN 0 AND 1'"):
        migrate(uri)
    assert contract.schema_version(DeltaTable(uri)) == 0


def test_a_table_of_a_newer_version_is_refused(lake: Lake) -> None:
    uri = lake.uri(layout.SAMPLES)
    newer = {contract.VERSION_PROPERTY: "99"}
    DeltaTable.create(uri, Schema.from_arrow(SCHEMA), configuration=newer, raise_if_key_not_exists=False)
    with pytest.raises(DataError, match=r"schema version 99.* use the ncs that wrote it"):
        contract.ensure(uri, Schema.from_arrow(SCHEMA), ["day"])
    with pytest.raises(DataError, match="use a newer ncs"):
        migrate(uri)


def test_a_figure_that_no_row_has_keeps_its_declared_type(lake: Lake) -> None:
    keys = {"simulation_id": ["s"], "run_id": ["r"], "arm": ["a"], "day": [1], "metric": ["ctr"]}
    contract.append(lake, layout.SIMULATIONS, pa.table({**keys, "value": [None]}))
    contract.append(lake, layout.SIMULATIONS, pa.table({**keys, "value": [0.5]}))
    found = lake.read(layout.SIMULATIONS, lake.version(layout.SIMULATIONS), ["value"])
    assert sorted(found.column("value").to_pylist(), key=str) == [0.5, None]


@pytest.mark.parametrize("label", ["like", "order", "between", "select"])
def test_a_label_may_be_called_like_a_word_of_sql(lake: Lake, label: str) -> None:
    columns = {"impression_id": ["i"], "day": [DAY], "split": ["train"], "day_number": pa.array([1], pa.int32())}
    rows = pa.table({**columns, label: pa.array([0.5], pa.float32())})
    contract.ensure(lake.uri("gold/x_samples"), Schema.from_arrow(rows.schema), ["day", "split"])
    write_deltalake(lake.uri("gold/x_samples"), rows, mode="append", partition_by=["day", "split"])
    beyond = rows.set_column(4, label, pa.array([1.5], pa.float32()))
    with pytest.raises(DeltaError, match=label):
        write_deltalake(lake.uri("gold/x_samples"), beyond, mode="append", partition_by=["day", "split"])
