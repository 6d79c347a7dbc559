"""A path is the same folder to every library, whatever signs are in its name."""

import os
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake import Schema as DeltaTableSchema

from ncs.data_loading import Snapshot
from ncs.data_loading.reader import read_shard
from ncs.days import Days
from ncs.errors import DataError
from ncs.lake import contract, layout, storage, upkeep
from ncs.lake.layout import Lake
from tests.factories import id_layout

NAMES = ["a b#数据 %25", "q?x&y+z[x]", 'it\'s "one"', "a::b", "back\\slash", "{a,b}*", "100%", "plain"]


@pytest.fixture(params=NAMES)
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder: Path = tmp_path / request.param
    folder.mkdir()
    return folder


def test_small_files_stand_where_the_path_says(root: Path) -> None:
    uri = storage.join(str(root), "models", "run.json")
    storage.write_json(uri, {"a": 1})
    assert (root / "models" / "run.json").is_file()
    assert storage.read_json(uri) == {"a": 1}
    assert list(storage.files(str(root))) == ["models/run.json"]
    assert storage.folders(str(root)) == ["models"]
    storage.remove(storage.join(str(root), "models"))
    assert list(root.iterdir()) == []


def test_tables_are_created_appended_read_and_vacuumed_there(root: Path) -> None:
    lake = Lake.at(str(root))
    rows = pa.table({"comparison_id": ["c"], "run_id": ["r"], "seed": [1], "model": ["s"], "task": ["ctr"]})
    rows = rows.append_column("metric", pa.array(["auc"])).append_column("value", pa.array([0.5]))
    contract.append(lake, layout.COMPARISONS, rows)
    contract.append(lake, layout.COMPARISONS, rows.append_column("further", pa.array([2.0])))
    folder = root / "gold" / "comparisons"
    assert len(list(folder.glob("*.parquet"))) == 2
    found = lake.read(layout.COMPARISONS, lake.version(layout.COMPARISONS), ["value"])
    assert found.column("value").to_pylist() == [0.5, 0.5]
    assert lake.rows_by_day(layout.COMPARISONS) == {"all": 2}
    assert lake.table(layout.COMPARISONS).schema().fields[-1].name == "further"
    (folder / "left.parquet").write_bytes(b"of a killed writer")
    assert upkeep.survey(lake, layout.COMPARISONS, 1, upkeep.timedelta(0), set()).unused == 1
    upkeep.vacuum(lake, layout.COMPARISONS, upkeep.timedelta(0), set())
    assert sorted(path.suffix for path in folder.iterdir()) == ["", ".parquet", ".parquet"]


def test_petastorm_reads_the_files_there(root: Path, tmp_path: Path) -> None:
    lake, day = Lake.at(str(root)), date(2022, 4, 8)
    names = {"impression_id": ["a", "b"], "day": pa.array([day] * 2, pa.date32()), "split": ["train"] * 2}
    table = pa.table({**names, "user_id": pa.array([3, 4], pa.int32()), "clicked": pa.array([1.0, 0.0], pa.float32())})
    made = tmp_path / "made"
    write_deltalake(str(made), table, partition_by=["day", "split"])
    (root / "gold").mkdir()
    made.rename(root / "gold" / "ctr_samples")  # a lake that was moved
    snapshot = Snapshot.of(lake, "gold/ctr_samples", 0, Days(day, day), "train")
    (read,) = read_shard(snapshot, id_layout("user_id"), ["clicked"], shard=0, shards=1, seed=None)
    assert (read.ids.tolist(), read.labels.tolist()) == ([[3], [4]], [[1.0], [0.0]])


def test_an_alias_shows_what_comes_and_goes(tmp_path: Path) -> None:
    folder = tmp_path / "a%20b" / "t"
    folder.mkdir(parents=True)
    (folder / "one").touch()
    linked = Path(storage.alias(str(folder)))
    assert "%" not in str(linked)
    assert [path.name for path in linked.iterdir()] == ["one"]
    (folder / "one").rename(folder / "two")
    assert [path.name for path in Path(storage.alias(str(folder))).iterdir()] == ["two"]
    assert storage.alias(str(tmp_path)) == str(tmp_path)
    assert storage.alias("s3://bucket/a%20b") == "s3://bucket/a%20b"


def test_a_table_that_fails_to_get_its_first_rows_is_not_left(root: Path) -> None:
    lake = Lake.at(str(root))
    schema = pa.schema([("day", pa.date32()), ("n", pa.int64())])
    uri = lake.uri("silver/numbers")
    with pytest.raises(ValueError, match="disk full"), contract.creating(uri):  # noqa: PT012
        contract.ensure(uri, DeltaTableSchema.from_arrow(schema), ["day"])
        assert lake.has("silver/numbers")
        raise ValueError("disk full")
    assert not lake.has("silver/numbers")
    with contract.creating(uri):
        contract.ensure(uri, DeltaTableSchema.from_arrow(schema), ["day"])
        DeltaTable(storage.alias(uri)).alter.set_table_description("has a second version")
    assert DeltaTable(storage.alias(uri)).version() == 1


def test_no_pipe_in_a_lake_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lake.json")
    with pytest.raises(DataError, match=r"lake\.json cannot be read \(it is no regular file\); restore"):
        storage.read_json(str(tmp_path / "lake.json"))
    assert storage.derived_json(str(tmp_path / "lake.json")) is None
    storage.write_json(str(tmp_path / "lake.json"), {})
    assert storage.read_json(str(tmp_path / "lake.json")) == {}
