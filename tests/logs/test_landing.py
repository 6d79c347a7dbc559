"""Landing folders of each kind of file, and what broken ones are told to be."""

import gzip
import json
import os
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from ncs.errors import DataError
from ncs.logs.files import reading
from ncs.logs.landing import Landing
from ncs.logs.schemas import profile_rows

DAY = date(2022, 4, 8)
ROWS: list[dict[str, Any]] = [
    {"impression_id": "a", "user_id": 1, "video_id": 10, "ts": "2022-04-08T09:00:00Z", "position": 0, "scene": "feed"},
    {"impression_id": "b", "user_id": 2, "video_id": 11, "ts": "2022-04-08T10:30:00.25Z", "position": 3, "scene": None},
]
EXPECTED = [
    ("a", 1, 10, datetime(2022, 4, 8, 9, 0), 0, "feed", DAY),
    ("b", 2, 11, datetime(2022, 4, 8, 10, 30, 0, 250_000), 3, None, DAY),
]
TYPES = [("impression_id", "string"), ("user_id", "bigint"), ("video_id", "bigint"), ("ts", "timestamp")]
TYPES += [("position", "int"), ("scene", "string"), ("day", "date")]


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content)
    return path


def csv(rows: list[dict[str, Any]] = ROWS, **changed: Any) -> str:
    rows = [{**row, **changed} for row in rows]
    lines = [",".join("" if value is None else str(value) for value in row.values()) for row in rows]
    return "\n".join([",".join(rows[0]), *lines, ""])


def table(**columns: pa.Array) -> pa.Table:
    times = [datetime.fromisoformat(row["ts"]) for row in ROWS]
    whole = {name: pa.array([row[name] for row in ROWS]) for name in ROWS[0]}
    typed = {"ts": pa.array(times, pa.timestamp("us", "UTC")), "position": pa.array([0, 3], pa.int32())}
    return pa.table({**whole, **typed, **columns})


def folder(root: Path, log: str = "impressions") -> Path:
    return root / log / f"day={DAY}"


def read(spark: SparkSession, root: Path, log: str = "impressions") -> list[tuple[Any, ...]]:
    rows = Landing(str(root)).read(spark, log, [] if log in ("users", "videos") else [DAY])
    return sorted(tuple(row) for row in rows.collect())


def utc(values: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Spark hands times out in the zone of the machine; say them in UTC."""
    return [
        tuple(v.astimezone(UTC).replace(tzinfo=None) if isinstance(v, datetime) else v for v in row) for row in values
    ]


FILES: dict[str, Callable[[], Any]] = {
    "part.parquet": table,
    "part [1].csv": csv,
    "part.csv.gz": lambda: gzip.compress(csv().encode()),
    "part.jsonl": lambda: "".join(json.dumps(row) + "\n" for row in ROWS),
    "part.json.gz": lambda: gzip.compress("".join(json.dumps(row) + "\n" for row in ROWS).encode()),
}


@pytest.mark.parametrize("name", FILES)
def test_each_kind_of_file_gives_the_same_typed_rows(spark: SparkSession, tmp_path: Path, name: str) -> None:
    write(folder(tmp_path) / name, FILES[name]())
    write(folder(tmp_path) / "_SUCCESS", "")
    rows = Landing(str(tmp_path)).read(spark, "impressions", [DAY])
    assert sorted(rows.dtypes) == sorted(TYPES)
    assert utc(sorted(tuple(row) for row in rows.select(*dict(TYPES)).collect())) == EXPECTED


def test_parquet_is_widened_without_loss_and_matched_by_name(spark: SparkSession, tmp_path: Path) -> None:
    one = table(
        user_id=pa.array([1, 2], pa.int32()),
        video_id=pa.array([10, 11], pa.int16()),
        ts=table()["ts"].cast(pa.timestamp("ms")),  # no zone: UTC
        position=pa.array([0, 3], pa.int16()),
        scene=pa.array(["feed", None]).dictionary_encode(),
    )
    other = table(impression_id=pa.array(["c", "d"]))
    write(folder(tmp_path) / "1.parquet", one)
    write(folder(tmp_path) / "2.parquet", other.select(other.column_names[::-1]))
    rows = Landing(str(tmp_path)).read(spark, "impressions", [DAY]).select(*dict(TYPES))
    assert rows.dtypes == TYPES
    renamed = [({"a": "c", "b": "d"}[row[0]], *row[1:]) for row in EXPECTED]
    assert utc(sorted(tuple(row) for row in rows.collect())) == EXPECTED + renamed


def test_csv_files_of_a_day_may_order_their_columns_differently(spark: SparkSession, tmp_path: Path) -> None:
    write(folder(tmp_path, "clicks") / "1.csv", "impression_id,ts\na,2022-04-08 09:00:01\n")
    write(folder(tmp_path, "clicks") / "2.csv", '\ufeffts,impression_id\n2022-04-08 18:00:02+08:00,"b,""x"""\n')
    rows = Landing(str(tmp_path)).read(spark, "clicks", [DAY]).select("impression_id", "ts", "day")
    assert utc(sorted(tuple(row) for row in rows.collect())) == [
        ("a", datetime(2022, 4, 8, 9, 0, 1), DAY),
        ("b" + ',"x"', datetime(2022, 4, 8, 10, 0, 2), DAY),
    ]


def test_other_columns_of_clicks_and_a_column_day_are_left_out(spark: SparkSession, tmp_path: Path) -> None:
    write(folder(tmp_path, "clicks") / "1.csv", "impression_id,ts,day,why not\na,2022-04-08,1999-01-01,x\n")
    assert [row[0::2] for row in read(spark, tmp_path, "clicks")] == [("a", DAY)]


def test_profiles_get_numbers_and_a_row_a_key_and_time(spark: SparkSession, tmp_path: Path) -> None:
    lines = ["user_id,updated_at,days,height,code,plan", "1,2022-04-08,5,1.5,007,a", "1,2022-04-09,4,NaN,12,b"]
    write(tmp_path / "users" / "u.csv", "\n".join([*lines, "2,,7,2,3,", ",2022-04-09,1,1,1,1", ""]))
    rows = Landing(str(tmp_path)).read(spark, "users", [])
    assert dict(rows.dtypes) == {
        "user_id": "bigint",
        "updated_at": "timestamp",
        "days": "bigint",
        "height": "double",
        "code": "string",
        "plan": "string",
    }
    found = profile_rows(rows, "user_id")
    since = F.col("updated_at").cast("string")
    found = found.select("user_id", since, "days", "height", "code", "plan").orderBy("user_id", since)
    assert [tuple(row) for row in found.collect()] == [
        (1, "2022-04-08 00:00:00", 5, 1.5, "007", "a"),
        (1, "2022-04-09 00:00:00", 4, None, "12", "b"),
        (2, None, 7, 2.0, "3", None),
    ]
    # Without a time the choice is still one and the same: the greatest values.
    found = profile_rows(rows.select("plan", "days", "user_id"), "user_id")
    assert sorted(tuple(row) for row in found.select("user_id", "days", "plan").collect()) == [
        (1, 5, "a"),
        (2, 7, None),
    ]


def test_the_fingerprint_is_plain_data_and_changes_with_a_file(tmp_path: Path) -> None:
    write(folder(tmp_path) / "part.csv", csv())
    before = Landing(str(tmp_path)).fingerprint("impressions", DAY)
    assert list(before) == [f"impressions/day={DAY}/part.csv"]
    assert json.loads(json.dumps(before)) == before
    write(folder(tmp_path) / "part.csv", csv(scene="search"))
    assert Landing(str(tmp_path)).fingerprint("impressions", DAY) != before


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def test_lists_of_parquet_come_as_arrays(spark: SparkSession, tmp_path: Path) -> None:
    lists = {
        "tags": pa.array([["a", "b"], []]),
        "cover": pa.array([[0.5, 1.5], None], pa.list_(pa.float32(), 2)),
        "codes": pa.array([[1], None], pa.large_list(pa.int64())),
        "none": pa.array([[], []], pa.list_(pa.null())),
        "view": pa.array(["a", None], pa.string_view()),
    }
    write(folder(tmp_path) / "a.parquet", table(**lists))
    rows = Landing(str(tmp_path)).read(spark, "impressions", [DAY])
    kinds = dict(rows.dtypes)
    assert [kinds[name] for name in lists] == ["array<string>", "array<float>", "array<bigint>", "string", "string"]
    found = rows.orderBy("impression_id").select(*lists).collect()
    assert [tuple(row) for row in found] == [(["a", "b"], [0.5, 1.5], [1], None, "a"), ([], None, None, None, None)]


def _parquet_bytes(compression: str = "snappy", repeats: str | None = None) -> bytes:
    sink, rows = pa.BufferOutputStream(), table()
    if repeats:
        rows = rows.append_column(repeats, rows[repeats])
    pq.write_table(rows, sink, compression=compression)
    return sink.getvalue().to_pybytes()


NANOS = pa.array([datetime(2022, 4, 8), None], pa.timestamp("ns"))
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no_folder": ({}, r"no logs at .*ncs generate"),
    "empty": ({"_SUCCESS": ""}, r"impressions of 2022-04-08: no file in .*impressions/day=2022-04-08"),
    "cut_parquet": ({"a.parquet": _cut(_parquet_bytes())}, r"of 2022-04-08, .*a\.parquet: no whole Parquet file"),
    "cut_gzip": (
        {"a.csv.gz": _cut(gzip.compress(csv(ROWS * 5000, scene="x").encode(), 0))},
        r"impressions of 2022-04-08, .*a\.csv\.gz: the file is broken or cut short",
    ),
    "string_id": (
        {"a.parquet": table(user_id=pa.array(["1", "2"]))},
        r"a\.parquet: column 'user_id' is string, expected bigint; cast it",
    ),
    "lossy": ({"a.parquet": table(position=pa.array([0, 3]))}, r"column 'position' is int64, expected int"),
    "nanoseconds": ({"a.parquet": table(ts=NANOS)}, r"column 'ts' is timestamp\[ns\], expected timestamp"),
    "nested": ({"a.parquet": table(scene=pa.array([[[1]], [[2]]]))}, r"column 'scene' is list.*or a list of these"),
    "struct": ({"a.parquet": table(scene=pa.array([[{"a": 1}], []]))}, r"column 'scene' is list<.*struct<.*expected"),
    "missing": ({"a.parquet": table().drop(["ts"])}, r"a\.parquet: no column 'ts'; expected .*found impression_id"),
    "mistyped": ({"a.csv": csv().replace("user_id", "User_ID")}, r"no column 'user_id'; .*found .*User_ID"),
    "mixed_types": (
        {"a.parquet": table(), "b.parquet": table(scene=pa.array([1, 2]))},
        r"b\.parquet: column 'scene' is int64, expected string",
    ),
    "mixed_columns": (
        {"a.csv": csv(), "b.csv": csv(network="4g")},
        r"b\.csv: column 'network' is in it, not in its neighbours",
    ),
    "mixed_kinds": ({"a.csv": csv(), "b.json": "{}"}, r"files of several kinds, .*a\.csv and .*b\.json"),
    "unknown_kind": ({"a.txt": csv()}, r"a\.txt: no name of \.parquet"),
    "bad_id": (
        {"a.csv": csv(ROWS * 3, user_id="u7")},
        r"2022-04-08, .*a\.csv: column 'user_id' has 6 values that are no bigint, as 'u7'",
    ),
    "bad_time": ({"a.csv": csv(ts="12:30:00")}, r"column 'ts' has 2 values that are no timestamp, as '12:30:00'"),
    "bad_json_id": (
        {"a.jsonl": json.dumps({**ROWS[0], "video_id": 1.5})},
        r"a\.jsonl: column 'video_id' has 1 values that are no bigint, as '1.5'",
    ),
    "broken_json": ({"a.jsonl": json.dumps(ROWS[0]) + "\n{oops\n"}, r"1 lines are not .* JSON's form, as '{oops'"),
    "json_over_lines": (
        {"a.json": json.dumps(ROWS[0], indent=1)},
        r"a\.json: no line of it is a JSON object; write a row a line, as \{\.\.\.\}",
    ),
    "short_line": ({"a.csv": csv() + "c,1\n"}, r"a\.csv: 1 lines are not of the header's .*as 'c,1'"),
    "no_header": ({"a.csv": ""}, r"a\.csv: empty, without even a header line"),
    "odd_name": ({"a.csv": csv().replace("scene", "a scene")}, r"column 'a scene'; names are ASCII letters"),
    "label_name": ({"a.csv": csv().replace("scene", "cvr")}, r"column 'cvr' bears a name"),
    "of_delta": ({"a.csv": csv().replace("scene", "_Change_Type")}, r"column '_Change_Type' bears a name that Delta"),
    "far_latin1": (
        {
            "a.csv": f"{csv()}{csv(ROWS * 300).partition(chr(10))[2]}".encode()
            + b"z,1,1,2022-04-08T09:00:00Z,0,caf\xe9\n"
        },
        r"a\.csv: line 604 is not UTF-8 \(byte 0xe9 after 32 others\); convert the file .* or name .* logs\.encoding",
    ),
    "latin1_header": (
        {"a.csv": csv().replace("scene", "sc\xe8ne").encode("latin-1")},
        r"line 1 is not UTF-8 \(byte 0xe8",
    ),
    "utf16": ({"a.csv": csv().encode("utf-16")}, r"a\.csv: line 1 is not UTF-8 \(it begins as UTF-16 does\)"),
    "latin1_gz": (
        {"a.csv.gz": gzip.compress(csv(scene="caf\xe9").encode("latin-1"))},
        r"a\.csv\.gz: line 2 is not UTF-8",
    ),
    "latin1_json": (
        {"a.jsonl": (json.dumps(ROWS[0]) + '\n{"impression_id": "caf\xe9"}').encode("latin-1")},
        r"a\.jsonl: line 2 is not UTF-8 \(byte 0xe9",
    ),
    "colon": ({"a:b.csv": csv()}, r"a:b\.csv': Spark reads no file with a colon .* rename it"),
    "brotli": ({"a.parquet": _parquet_bytes("brotli")}, r"a\.parquet: is compressed with BROTLI, .* snappy or zstd"),
    "folder": ({"hour=3/a.csv": csv()}, r"hour=3': is a folder; the files of a log lie directly in its own"),
    "key_twice": (
        {"a.jsonl": json.dumps(ROWS[0]).replace('"user_id"', '"user_id": 1, "user_id"')},
        r"a line has the key 'user_id' twice \(capitals do not count\); write it once",
    ),
    "twice": ({"a.csv": csv().replace("scene", "TS")}, r"column 'ts' stands there twice"),
    "twice_in_parquet": (
        {"a.parquet": _parquet_bytes(repeats="scene")},
        r"a\.parquet: column 'scene' stands there twice",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_with_its_place(spark: SparkSession, tmp_path: Path, case: str) -> None:
    files, message = BAD[case]
    root = tmp_path / "logs"
    for name, content in files.items():
        write(folder(root) / name, content)
    with pytest.raises(DataError) as told:
        read(spark, root)
    assert re.search(message, str(told.value)), told.value
    assert "\n" not in str(told.value)


def test_checksums_of_another_file_are_named(spark: SparkSession, tmp_path: Path) -> None:
    write(folder(tmp_path) / "a.parquet", _parquet_bytes())
    write(folder(tmp_path) / ".a.parquet.crc", b"crc\0\0\0\2\0\1\2\3\4")
    message = r"a\.parquet: the file does not agree with its checksums in .*/\.a\.parquet\.crc; remove those"
    with pytest.raises(DataError, match=message), reading("impressions of 2022-04-08"):
        read(spark, tmp_path)
    (folder(tmp_path) / ".a.parquet.crc").unlink()
    assert len(read(spark, tmp_path)) == 2


@pytest.mark.parametrize("name", ["pipe.parquet", "link.csv"])
def test_what_is_no_file_is_named_and_never_opened(tmp_path: Path, name: str) -> None:
    write(folder(tmp_path) / "a.csv", csv())
    write(tmp_path / "elsewhere.csv", csv())
    (folder(tmp_path) / "b.csv").symlink_to(tmp_path / "elsewhere.csv")  # as good as a file
    source = Landing(str(tmp_path))
    assert len(source.fingerprint("impressions", DAY)) == 2
    path = folder(tmp_path) / name
    if name.startswith("pipe"):
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere")
    with pytest.raises(DataError, match=rf"of 2022-04-08, .*{name}': is no regular file"):
        source.fingerprint("impressions", DAY)


def test_what_no_day_reads_is_named(tmp_path: Path) -> None:
    for name in (f"day={DAY}/a.csv", "day=2022-4-9/a.csv", "DAY=2022-04-09/a.csv", "stray.csv", "_tmp/a.csv"):
        write(tmp_path / "clicks" / name, csv())
    names = [Path(path).name for path in Landing(str(tmp_path)).left_out("clicks")]
    assert sorted(names) == ["DAY=2022-04-09", "day=2022-4-9", "stray.csv"]


def test_text_is_decoded_as_the_configuration_says(spark: SparkSession, tmp_path: Path) -> None:
    root = tmp_path / "logs"
    lines = csv(ROWS * 200, scene="音乐") + "c,3,12,2022-04-08T11:00:00Z,1,体育\n"
    write(folder(root) / "a.csv", lines.encode("gbk"))
    scenes = [row.scene for row in Landing(str(root), encoding="gbk").read(spark, "impressions", [DAY]).collect()]
    assert (len(scenes), set(scenes), scenes.count("体育")) == (401, {"音乐", "体育"}, 1)
    write(folder(root) / "a.csv", lines.encode("gbk") + b"d,3,12,2022-04-08T11:00:00Z,1,\xff\xfe\n")
    with pytest.raises(DataError, match=r"a\.csv: line 403 is not GBK"):
        Landing(str(root), encoding="gbk").read(spark, "impressions", [DAY])
    (folder(root) / "a.csv").unlink()
    write(folder(root) / "a.jsonl", json.dumps({**ROWS[0], "scene": "美食"}, ensure_ascii=False).encode("gbk"))
    assert Landing(str(root), encoding="gbk").read(spark, "impressions", [DAY]).first().scene == "美食"
    (folder(root) / "a.jsonl").unlink()
    write(folder(root) / "a.csv", csv(scene="lost \ufffd before").encode())  # the log says so itself
    assert read(spark, root)[0][5] == "lost \ufffd before"


def test_a_missing_day_says_which_days_there_are(spark: SparkSession, tmp_path: Path) -> None:
    write(tmp_path / "clicks" / "day=2022-04-10" / "a.csv", "impression_id,ts\n")
    write(tmp_path / "clicks" / "day=2022-04-11" / "a.csv", "impression_id,ts\n")
    with pytest.raises(DataError, match=r"clicks of 2022-04-08: .* from 2022-04-10 to 2022-04-11"):
        read(spark, tmp_path, "clicks")
