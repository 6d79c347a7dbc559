"""Raw logs of a few tiny days, some of them odd: columns, types, values, encodings, kinds of file, what lies beside."""

import gzip
import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

ROWS, USERS, VIDEOS = 30, 8, 6
DAY_LOGS = ("impressions", "clicks", "plays")
_NAMES = """
    _change_type _CHANGE_TYPE _commit_version _commit_timestamp __is_cdc __delta_x _databricks_x _metadata clicked Cvr
    watched_seconds split day_number outcome user_impressions Scene SCENE User_Id Day DAY age_group Category author_id
    a.b a|b a`b a#b ünï select order like null true class None keys type value id n row log reason run_id pctr _x _1
    updated_at length_seconds position count label model x y promo place date timestamp bucket weight truth partition
"""
NAMES = _NAMES.split()
"""Of columns: taken by somebody, words of SQL and Python, signs, and plain ones. `|` for a space."""
_TEXTS = [
    "home",
    "café",
    "cafè",
    "数据",
    "音乐",
    "体育",
    "<script>x</script>",
    "$a$",
    'a"b',
    "a,b",
    "a\nb",
    "007",
    "1e5",
    "nan",
]


def _ids(random: Random, rows: int) -> pa.Array:
    return pa.array([None if random.random() < 0.2 else 2**60 + random.randrange(40) for _ in range(rows)], pa.int64())


ARRAYS: dict[str, Callable[[Random, int], pa.Array]] = {
    "null": lambda random, rows: pa.nulls(rows),
    "bool": lambda random, rows: pa.array([random.random() < 0.5 for _ in range(rows)]),
    "large ids": _ids,
    **{
        str(kind): lambda random, rows, kind=kind: pa.array([random.randrange(100) for _ in range(rows)], kind)
        for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint32(), pa.uint64())
    },
    **{
        f"{unit} {zone}": lambda random, rows, unit=unit, zone=zone: pa.array(
            [random.randrange(10**6) for _ in range(rows)], pa.timestamp(unit, zone)
        )
        for unit in ("s", "ms", "us", "ns")
        for zone in (None, "UTC", "Asia/Shanghai")
    },
    "far time": lambda random, rows: pa.array([2**62 - n for n in range(rows)], pa.timestamp("us", "UTC")),
    "double": lambda random, rows: pa.array(
        [random.choice([0.5, 1e300, -0.0, float("nan"), None]) for _ in range(rows)]
    ),
    "float": lambda random, rows: pa.array([random.random() for _ in range(rows)], pa.float32()),
    "decimal": lambda random, rows: pa.array([random.randrange(9) for _ in range(rows)]).cast(pa.decimal128(25, 2)),
    "wide decimal": lambda random, rows: pa.array([1] * rows).cast(pa.decimal256(60, 2)),
    "text": lambda random, rows: pa.array([random.choice([*_TEXTS, None]) for _ in range(rows)]),
    "large text": lambda random, rows: pa.array([random.choice(_TEXTS) for _ in range(rows)], pa.large_string()),
    "bytes": lambda random, rows: pa.array([b"\xff\x00"] * rows),
    "date": lambda random, rows: pa.array([date(2022, 4, 8 + random.randrange(9)) for _ in range(rows)]),
    "time": lambda random, rows: pa.array([random.randrange(9) for _ in range(rows)], pa.time64("us")),
    "duration": lambda random, rows: pa.array([random.randrange(9) for _ in range(rows)], pa.duration("us")),
    "dictionary": lambda random, rows: pa.array([random.choice("ab") for _ in range(rows)]).dictionary_encode(),
    "list": lambda random, rows: pa.array([["a"]] * rows),
    "struct": lambda random, rows: pa.array([{"a": 1}] * rows),
    "map": lambda random, rows: pa.array([[("a", 1)]] * rows, pa.map_(pa.string(), pa.int64())),
}
"""Kind of column -> its values."""


@dataclass
class Odd:
    """One log of one day, and whether its rows can be told from what stands in its table."""

    table: pa.Table
    known: bool = True
    """Whether bronze has to hold these rows, if it holds any of the day."""
    legible: bool = True
    """Whether every byte is one of the encoding: what is not must be refused."""


def tables(day: date) -> dict[str, pa.Table]:
    """Whole logs of a day: impressions, half of them clicked and played."""
    random, start = Random(day.toordinal()), datetime(day.year, day.month, day.day, 1, tzinfo=UTC)
    times = [start + timedelta(minutes=20 * n) for n in range(ROWS)]
    ids, clicked = [f"{day}-{n}" for n in range(ROWS)], [n for n in range(ROWS) if n % 2]
    time = pa.timestamp("us", "UTC")
    later = pa.array([times[n] + timedelta(seconds=9) for n in clicked], time)
    shown = pa.table(
        {
            "impression_id": ids,
            "user_id": [random.randrange(USERS) for _ in ids],
            "video_id": [random.randrange(VIDEOS) for _ in ids],
            "ts": pa.array(times, time),
            "scene": [random.choice(["home", "café", "find"]) for _ in ids],
        }
    )
    clicks = pa.table({"impression_id": [ids[n] for n in clicked], "ts": later})
    plays = clicks.append_column("watched_seconds", pa.array([float(random.randrange(1, 40)) for _ in clicked]))
    return {"impressions": shown, "clicks": clicks, "plays": plays}


def profiles() -> dict[str, pa.Table]:
    """Whole users and videos."""
    users = {"user_id": range(USERS), "age_group": [f"g{n % 3}" for n in range(USERS)], "active_days": range(USERS)}
    videos = {"video_id": range(VIDEOS), "length_seconds": [7.0 * n + 10 for n in range(VIDEOS)]}
    videos |= {"author_id": [n % 4 for n in range(VIDEOS)], "category": [f"c{n % 2}" for n in range(VIDEOS)]}
    return {"users": pa.table({k: list(v) for k, v in users.items()}), "videos": pa.table(videos)}


def write(folder: Path, table: pa.Table) -> None:
    """Put a log into its folder, alone."""
    clear(folder)
    pq.write_table(table, folder / "part.parquet")


def write_odd(folder: Path, table: pa.Table, random: Random) -> Odd:
    """Put a log into its folder with something odd about it."""
    odd = Odd(table)
    for change in random.choices([_extra_column, _other_type, _other_names, _large_ids, None], [3, 2, 1, 1, 2], k=2):
        if change:
            change(odd, random)
    clear(folder)
    kind = random.choice(["parquet"] * 4 + ["csv", "jsonl", "csv.gz", "jsonl.gz"])
    path = folder / f"{random.choice(['part', 'part', 'part', 'a b#%25', 'a:b', 'ü', '[1]'])}.{kind}"
    try:
        content = _content(odd, kind, random)
    except (pa.ArrowException, TypeError, KeyError, ValueError, OverflowError):  # no such file can be: Parquet holds it
        odd.legible, path = True, folder / "part.parquet"
        content = _content(odd, "parquet", random)
    if random.random() < 0.12:
        at = random.randrange(len(content))
        content = random.choice([content[:at], content[:at] + b"\0\xff" + content[at:], b""])
        odd.known = False
    path.write_bytes(content)
    if random.random() < 0.12:
        _beside(folder, random)
        odd.known = False
    return odd


def clear(folder: Path) -> None:
    """Make a folder, or empty it."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()


def _extra_column(odd: Odd, random: Random) -> None:
    values = random.choice(list(ARRAYS.values()))(random, len(odd.table))
    odd.table = odd.table.append_column(random.choice(NAMES).replace("|", " "), values)


def _other_type(odd: Odd, random: Random) -> None:
    at = random.randrange(odd.table.num_columns)
    values = random.choice(list(ARRAYS.values()))(random, len(odd.table))
    odd.table = odd.table.set_column(at, odd.table.column_names[at], values)


def _large_ids(odd: Odd, random: Random) -> None:
    if "user_id" in odd.table.column_names:
        at = odd.table.column_names.index("user_id")
        odd.table = odd.table.set_column(at, "user_id", _ids(random, len(odd.table)))


def _other_names(odd: Odd, random: Random) -> None:
    names, at = list(odd.table.column_names), random.randrange(odd.table.num_columns)
    names[at] = random.choice([names[at].upper(), names[at].title(), f" {names[at]}", *NAMES]).replace("|", " ")
    odd.table = odd.table.rename_columns(names)


def _content(odd: Odd, kind: str, random: Random) -> bytes:
    if kind == "parquet":
        sink = io.BytesIO()
        codec = random.choice(["snappy", "snappy", "zstd", "gzip", "brotli", "none"])
        pq.write_table(odd.table, sink, compression=codec, row_group_size=random.choice([7, 1000]))
        return sink.getvalue()
    text = _csv(odd.table) if kind.startswith("csv") else _json(odd.table)
    encoding = random.choice(["utf-8", "utf-8", "utf-8-sig", "latin-1", "gbk", "utf-16"])
    content = text.encode(encoding, "replace")
    try:
        content.decode()
    except UnicodeDecodeError:
        odd.legible = False
    odd.known = False  # empty texts are nulls, and numbers texts
    return gzip.compress(content) if kind.endswith(".gz") else content


def _csv(table: pa.Table) -> str:
    sink = io.BytesIO()
    pyarrow.csv.write_csv(table, sink)
    return sink.getvalue().decode()


def _json(table: pa.Table) -> str:
    return "".join(json.dumps(_plain(row), ensure_ascii=False) + "\n" for row in table.to_pylist())


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime | date) else value for name, value in row.items()}


def _beside(folder: Path, random: Random) -> None:
    """What is no log, beside it."""
    place = folder / random.choice(["b.parquet", "b.csv", "notes.txt", "_SUCCESS", ".b.crc", "b"])
    match random.randrange(5):
        case 0:
            os.mkfifo(place)
        case 1:
            place.symlink_to("/nowhere/at/all")
        case 2:
            place.mkdir()
        case 3:
            place.symlink_to(folder)
        case 4:
            place.write_bytes(b"x")
