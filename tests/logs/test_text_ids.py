"""Ids that are texts: a number stands for each, the same in Spark, in a request and on every day."""

import hashlib
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.job import Job
from jobs.pipeline import erase, ingest
from ncs.days import Days
from ncs.errors import DataError
from ncs.kinds import IdList, Vocabulary
from ncs.kinds.history import Past
from ncs.lake import layout
from ncs.lake.layout import Lake
from ncs.logs.landing import Landing
from ncs.logs.schemas import with_numbers_of_texts
from ncs.serving import Encoder
from ncs.text_ids import hash_text, hash_texts
from tests.factories import toy_conf
from tests.faults.odd_logs import DAY_LOGS, profiles, tables

TEXTS = ["U13740", "7", "007", "ü 数据", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "", None]
DAYS = [date(2022, 4, 8), date(2022, 4, 9)]


def test_a_number_is_the_first_64_bits_of_the_hash(spark: SparkSession) -> None:
    bits = hashlib.sha256(b"U13740").hexdigest()[:16]
    assert hash_text("U13740") % 2**64 == int(bits, 16)
    numbers = [hash_text(text) if text else None for text in TEXTS]
    assert len(set(numbers)) == len(TEXTS) - 1, "7 and 007 are two ids, the empty text is none"
    assert min(number for number in numbers if number) < 0 < max(number for number in numbers if number)

    rows = spark.createDataFrame([(text, [text, "x"], 5) for text in TEXTS], "id string, seen array<string>, n bigint")
    found = with_numbers_of_texts(rows, ["id", "seen", "n", "nobody"])
    assert found.select("id", "seen", "n").dtypes == [("id", "bigint"), ("seen", "array<bigint>"), ("n", "bigint")]
    assert [tuple(row) for row in found.collect()] == [(n, [n, hash_text("x")], hash_text("5")) for n in numbers]
    for values in (TEXTS, pa.array(TEXTS), pa.array(TEXTS, pa.large_string())):
        assert hash_texts(values).to_pylist() == numbers
    assert hash_texts([["U13740", None], None, []]).to_pylist() == [[numbers[0], None], None, []]
    assert hash_texts(pa.array([5, None])).to_pylist() == [5, None], "as silver/samples has them"


def texts(table: pa.Table) -> pa.Table:
    """The same log with texts as ids."""
    for name in ("user_id", "video_id"):
        if name in table.column_names:
            values = pa.array([f"{name[0].upper()}{value:05}" for value in table[name].to_pylist()])
            table = table.set_column(table.column_names.index(name), name, values)
    return table


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    parts = {(log, f"day={day}"): tables(day)[log] for day in DAYS for log in DAY_LOGS}
    parts |= {(log, ""): table for log, table in profiles().items()}
    for (log, day), table in parts.items():
        (tmp_path / log / day).mkdir(parents=True, exist_ok=True)
        pq.write_table(texts(table), tmp_path / log / day / "part.parquet")
    return tmp_path


def test_logs_are_read_alike_from_every_kind_of_file(spark: SparkSession, logs: Path) -> None:
    names = ("user_id", "video_id")
    expected = Landing(str(logs), text_ids=names).read(spark, "impressions", DAYS[:1])
    assert dict(expected.dtypes)["user_id"] == "bigint"
    rows = expected.select("impression_id", *names).collect()
    users = tables(DAYS[0])["impressions"]["user_id"].to_pylist()
    assert [row.user_id for row in rows] == [hash_text(f"U{user:05}") for user in users]
    frame = pq.read_table(logs / "impressions" / f"day={DAYS[0]}" / "part.parquet").to_pandas()
    (logs / "impressions" / f"day={DAYS[0]}" / "part.parquet").unlink()
    frame["ts"] = frame["ts"].astype(str)
    for name, text in (("csv", frame.to_csv(index=False)), ("jsonl", frame.to_json(orient="records", lines=True))):
        path = logs / "impressions" / f"day={DAYS[0]}" / f"part.{name}"
        path.write_text(text)
        found = Landing(str(logs), text_ids=names).read(spark, "impressions", DAYS[:1])
        assert found.select("impression_id", *names).collect() == rows
        with pytest.raises(DataError, match=r"no bigint, as 'U0000\d'; .* name it in logs\.text_ids$"):
            Landing(str(logs)).read(spark, "impressions", DAYS[:1]).collect()
        path.unlink()


def test_a_lake_has_ids_of_one_kind(spark: SparkSession, logs: Path, tmp_path: Path) -> None:
    settings = [f"logs.source={logs}", f"logs.days={DAYS[0]}..{DAYS[1]}"]
    conf = toy_conf(*settings, "logs.text_ids=[user_id, video_id]")
    lake = Lake.at(str(tmp_path / "lake"))
    job = Job(conf, lake, conf.logs.days, quiet=True)
    ingest.run(job)
    videos = {row.video_id for row in job.read(layout.VIDEOS).collect()}
    assert videos == {hash_text(f"V{video:05}") for video in profiles()["videos"]["video_id"].to_pylist()}
    erase.run(job, user_ids=["U00003", "nobody"])
    assert hash_text("U00003") not in {row.user_id for row in job.read(layout.USERS).collect()}
    assert job.read(layout.USERS).count() == profiles()["users"].num_rows - 1
    other = toy_conf(*settings, "logs.text_ids=[user_id]")
    with pytest.raises(DataError, match=r"its user ids were made with .* other logs\.text_ids; ingest these days too"):
        ingest.run(Job(other, lake, Days(DAYS[1], DAYS[1])))


def test_a_request_names_ids_as_the_logs_do() -> None:
    video = Vocabulary(side="video")
    features = {
        "video_id": video,
        "seen": IdList(side="user", length=2, table="video_id"),
        "clicked_video_id": Past(side="user", field="video_id", of=video, last=3, pooling="mean"),
        "author": Vocabulary(side="video"),
    }
    rows = [("video_id", str(hash_text("V1")), 1), ("video_id", "7", 2), ("author", "V1", 1)]
    known = pa.table(dict(zip(("field", "value", "id"), zip(*rows, strict=True), strict=True)))
    encoder = Encoder(features, known, text_ids=["video_id", "seen"])
    assert encoder.column("video_id", ["V1", "V2", None]).tolist() == [1, 0, 0]
    assert encoder.column("video_id", [7, 8]).tolist() == [2, 0], "as silver/samples has them"
    assert encoder.column("seen", [["V2", "V1"], []]).tolist() == [[0, 1], [-1, -1]]
    assert encoder.column("clicked_video_id", [["V1"], None]).tolist() == [[1, -1, -1], [-1, -1, -1]]
    assert encoder.column("author", ["V1"]).tolist() == [1], "a text that is no id stays one"
