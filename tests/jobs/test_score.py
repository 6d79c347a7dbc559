"""Raw rows in, predictions out, equal to those of encoded rows; with Spark the same as without."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import SparkSession

from jobs.job import Job
from jobs.pipeline import score
from ncs.errors import ConfigError, DataError
from ncs.lake.layout import Lake
from ncs.runs.predictor import Predictor
from ncs.runs.run import Run, field_sizes
from tests.factories import RICH, toy_conf, write_toy_lake
from tests.training.faults import trained

CONF = toy_conf("train.models=layer_share", "train.epochs=1")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = trained(write_toy_lake(Lake.at(str(tmp_path_factory.mktemp("lake"))), CONF, rows=300), CONF)
    run.write_description()
    return run


@pytest.fixture
def job(run: Run) -> Job:
    return Job(CONF, run.lake, CONF.logs.days, quiet=True)


def scored(job: Job, run: Run, source: Path | str, output: Path) -> pa.Table:
    score.run(job, str(source), str(output), f"{run.run_id}/layer_share")
    return pq.read_table(output)


def test_raw_rows_get_the_predictions_of_encoded_ones(run: Run, job: Job, tmp_path: Path) -> None:
    rows = DeltaTable(run.lake.uri("gold/ctr_samples")).to_pyarrow_table().sort_by("impression_id")
    ids = np.stack([rows[name].to_numpy() for name in CONF.fields], 1)
    expected = Predictor.load(run.folder, "layer_share", CONF, field_sizes(run)).predict(ids)
    # A raw value of the toy lake is the id as text; of the table it comes as a number.
    raw = rows.select(["impression_id", *CONF.fields]).append_column("length_seconds", pa.array([20.0] * len(rows)))
    write_deltalake(str(tmp_path / "requests"), raw)
    texts = raw.set_column(1, "user_id", raw["user_id"].cast(pa.string()))
    pq.write_table(texts, tmp_path / "requests.parquet")
    (tmp_path / "requests.jsonl").write_text("\n".join(map(_line, raw.to_pylist())))
    for name in ("requests", "requests.parquet", "requests.jsonl"):
        found = scored(job, run, tmp_path / name, tmp_path / "out.parquet").sort_by("impression_id")
        assert found["impression_id"].to_pylist() == raw["impression_id"].to_pylist()
        for task in ("ctr", "cvr"):
            assert found[f"p{task}"].to_numpy() == pytest.approx(expected[task], abs=1e-6)
        assert found["rankscore"].to_numpy() == pytest.approx(expected["ctr"] * expected["cvr"] * 20, abs=1e-5)


def _line(row: dict[str, object]) -> str:
    return (
        "{"
        + ", ".join(f'"{key}": "{value}"' for key, value in row.items() if key != "length_seconds")
        + (f', "length_seconds": {row["length_seconds"]}}}')
    )


def test_what_is_unknown_is_counted_and_what_is_missing_is_named(
    run: Run, job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"user_id": [1, 10**12, None], "video_id": [1, 2, 3]}), tmp_path / "in.parquet")
    job.quiet = False
    found = scored(job, run, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert found["pctr"].null_count == 0
    assert "2 of 3 values of user_id are unknown to the model" in capsys.readouterr().err
    assert found["rankscore"].to_numpy() == pytest.approx(found["pctr"].to_numpy() * found["pcvr"].to_numpy())

    pq.write_table(pa.table({"user_id": [1]}), tmp_path / "less.parquet")
    (tmp_path / "twice.csv").write_text("user_id,video_id,user_id\n1,2,3\n")
    (tmp_path / "odd.parquet").write_bytes(b"PAR1")
    for name, text in (
        ("less.parquet", r"the rows have no video_id, which .*/layer_share needs"),
        ("odd.parquet", r"odd\.parquet cannot be read"),
        ("twice.csv", r"twice\.csv: column 'user_id' stands there twice; drop one$"),
        ("gone.parquet", r"gone\.parquet cannot be read"),
        ("gone", "neither a file that ends with .parquet"),
    ):
        with pytest.raises(DataError, match=text):
            scored(job, run, tmp_path / name, tmp_path / "none.parquet")
    assert not (tmp_path / "none.parquet").exists()


def test_values_of_a_wrong_type_are_named_and_nothing_is_written(lake: Lake, tmp_path: Path) -> None:
    conf = toy_conf(*RICH, "train.models=layer_share", "train.epochs=1")
    run = trained(write_toy_lake(lake, conf, rows=300), conf)
    run.write_description()
    good = {"user_id": ["1"], "age": [30.0], "video_id": ["2"], "tag": [["1"]], "cover": [[0.5, 0.5]]}
    good |= {"user_id_clicked_7d": [0.1], "clicked_video_id": [["1"]]}
    job = Job(conf, lake, conf.logs.days, quiet=True)
    for name, values, text in (
        ("age", ["old"], r"age \(number\): values of a wrong type"),
        ("tag", ["1,2"], r"tag \(list\): values of a wrong type"),
        ("cover", [[0.5]], r"fields\.cover: row 0 has 1 numbers, a vector has 2"),
        ("cover", ["x"], r"cover \(vector\): values of a wrong type"),
        ("user_id_clicked_7d", ["much"], r"user_id_clicked_7d \(number\): values of a wrong type"),
        ("clicked_video_id", [3], r"clicked_video_id \(past\): values of a wrong type"),
    ):
        pq.write_table(pa.table(good | {name: values}), tmp_path / "in.parquet")
        with pytest.raises(DataError, match=text):
            scored(job, run, tmp_path / "in.parquet", tmp_path / "none.parquet")
    assert not (tmp_path / "none.parquet").exists()
    pq.write_table(pa.table(good), tmp_path / "in.parquet")
    assert scored(job, run, tmp_path / "in.parquet", tmp_path / "out.parquet")["pctr"].null_count == 0


@pytest.mark.slow
def test_spark_gives_the_same_of_files_folders_and_tables(
    spark: SparkSession, run: Run, job: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = DeltaTable(run.lake.uri("gold/ctr_samples")).to_pyarrow_table().select(["impression_id", *CONF.fields])
    strange = pa.array([10**6 + n if n % 7 == 0 else n % 40 + 1 for n in range(len(raw))])
    raw = raw.set_column(2, "video_id", strange).append_column("length_seconds", pa.array([20.0] * len(raw)))
    raw = raw.append_column("pctr", pa.array([9.0] * len(raw)))  # of an earlier model: replaced
    write_deltalake(str(tmp_path / "table"), raw)
    (tmp_path / "folder").mkdir()
    for n in range(3):
        pq.write_table(raw.slice(n * 300, 300), tmp_path / "folder" / f"{n}.parquet")
    pa.csv.write_csv(raw, tmp_path / "rows.csv")
    (tmp_path / "rows.jsonl").write_text("\n".join(map(_line, raw.drop_columns(["pctr"]).to_pylist())))
    job.quiet = False
    expected = scored(job, run, tmp_path / "table", tmp_path / "one.parquet").sort_by("impression_id")
    said = [line for line in capsys.readouterr().err.splitlines() if "unknown to the model" in line]
    assert said == [f"score: {-(-len(raw) // 7):,} of {len(raw):,} values of video_id are unknown to the model"]
    for name in ("table", "folder", "rows.csv", "rows.jsonl"):
        score.run(job, str(tmp_path / name), str(tmp_path / f"of-{name}"), f"{run.run_id}/layer_share", spark=True)
        found = pq.read_table(tmp_path / f"of-{name}").sort_by("impression_id")
        assert set(found.column_names) == {*raw.column_names, "pcvr", "rankscore"}
        assert found["impression_id"].to_pylist() == expected["impression_id"].to_pylist()
        for column in ("pctr", "pcvr", "rankscore"):
            assert found[column].to_numpy() == pytest.approx(expected[column].to_numpy(), abs=1e-6)
        assert said[0] in capsys.readouterr().err


def test_spark_leaves_nothing_of_rows_that_it_cannot_score(
    spark: SparkSession, run: Run, job: Job, tmp_path: Path
) -> None:
    (tmp_path / "ragged.csv").write_text("user_id,video_id\n1,2\n1\n")
    (tmp_path / "cut.jsonl").write_text('{"user_id": 1, "video_id": 2}\n{"user_id": 1\n')
    pq.write_table(pa.table({"user_id": [1]}), tmp_path / "less.parquet")
    pq.write_table(pa.table({"user_id": [[1, 2]], "video_id": [1]}), tmp_path / "lists.parquet")
    pq.write_table(pa.table({"user_id": pa.array([], pa.int64()), "video_id": []}), tmp_path / "none.parquet")
    (tmp_path / "odd.parquet").write_bytes(b"PAR1")
    (tmp_path / "mixed").mkdir()
    for name in ("a.csv", "b.jsonl"):
        (tmp_path / "mixed" / name).write_text("")
    for name, text in (
        ("less.parquet", r"^the rows have no video_id, which .*/layer_share needs; they have user_id$"),
        ("lists.parquet", r"^user_id \(vocabulary\): values of a wrong type"),
        ("none.parquet", r"none\.parquet has no row$"),
        ("odd.parquet", r"^--input .*odd\.parquet: the file is broken or cut short"),
        ("gone.parquet", r"^--input .*gone\.parquet: cannot be read, AnalysisException: \[PATH_NOT_FOUND\]"),
        ("ragged.csv", r"^--input .*ragged\.csv: .*Malformed CSV record: 1 "),
        ("cut.jsonl", r"^--input .*cut\.jsonl: cannot be read, .*Unexpected end-of-input"),
        ("mixed", "nor a folder of such files that end alike, nor a Delta table"),
        ("gone", "nor a folder of such files that end alike, nor a Delta table"),
    ):
        with pytest.raises(DataError, match=text) as err:
            score.run(job, str(tmp_path / name), str(tmp_path / "out"), f"{run.run_id}/layer_share", spark=True)
        assert "\n" not in str(err.value)
        assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match=r"--output .*mixed is there already"):
        score.run(job, "rows.csv", str(tmp_path / "mixed"), f"{run.run_id}/layer_share", spark=True)
    assert (tmp_path / "mixed" / "a.csv").exists()
