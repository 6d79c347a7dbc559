"""The committed slice of KuaiRand, held row by row against its CSV."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from ncs.config import Config
from ncs.errors import DataError
from ncs.lake.layout import Lake
from ncs.logs.kuairand import KuaiRand
from ncs.logs.pseudonyms import Pseudonyms
from ncs.logs.source import open_source

DATA = Path(__file__).parent.parent / "data" / "kuairand"
NINE_DAYS = Path(__file__).parent.parent.parent / "data" / "kuairand_pure"
DAYS = [date(2022, 4, day) for day in range(8, 17)]
LOG = "log_standard_4_08_to_4_21_{}.csv"
ZONE = "Asia/Shanghai"


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    rows = pd.read_csv(DATA / LOG.format("sample"))
    rows["day"] = pd.to_datetime(rows.time_ms, unit="ms", utc=True).dt.tz_convert(ZONE).dt.date
    rows["impression_id"] = rows.user_id.astype(str) + "-" + rows.video_id.astype(str) + "-" + rows.time_ms.astype(str)
    return rows


def write_log(path: Path, rows: list[str], columns: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = columns or "user_id,video_id,time_ms,is_click,play_time_ms,duration_ms,tab"
    path.write_text("\n".join([columns, *rows, ""]))


def test_the_slice_shows_what_it_was_chosen_for(raw: pd.DataFrame) -> None:
    nine = raw[raw.day.isin(DAYS)]
    assert nine.groupby("day").is_click.agg(["size", "sum"]).min().min() > 100
    assert set(nine.day) == set(DAYS)
    assert nine.duplicated("impression_id").sum() > 0
    assert (nine.duration_ms == 0).sum() > 0
    assert (DATA / "LICENSE").exists()
    assert "CC BY-SA 4.0" in (DATA / "README.md").read_text()


def test_rows_are_those_of_the_csv(spark: SparkSession, raw: pd.DataFrame) -> None:
    source = KuaiRand(str(DATA), ZONE, Pseudonyms())
    day = DAYS[4]
    expected = raw[raw.day == day]
    impressions = source.read(spark, "impressions", [day])
    assert impressions.dtypes == [
        ("impression_id", "string"),
        ("user_id", "bigint"),
        ("video_id", "bigint"),
        ("ts", "timestamp"),
        ("length_seconds", "double"),
        ("day", "date"),
    ]
    columns = ["impression_id", "user_id", "video_id", "day"]
    found = sorted(
        tuple(row) for row in impressions.selectExpr(*columns, "unix_millis(ts)", "length_seconds").collect()
    )
    length = expected.duration_ms / 1000  # 0 stays 0: the label stage says what has no length
    assert found == sorted(zip(*(expected[c] for c in columns), expected.time_ms, length, strict=True))

    longest = expected.sort_values(["play_time_ms", "is_click"]).drop_duplicates("impression_id", keep="last")
    clicked = longest[longest.is_click == 1]
    clicks = source.read(spark, "clicks", [day]).selectExpr("impression_id", "unix_millis(ts)", "day").collect()
    assert sorted(tuple(row) for row in clicks) == sorted(
        zip(clicked.impression_id, clicked.time_ms, clicked.day, strict=True)
    )
    played = longest[longest.play_time_ms > 0]
    plays = (
        source.read(spark, "plays", [day]).selectExpr("impression_id", "unix_millis(ts)", "watched_seconds").collect()
    )
    assert sorted(tuple(row) for row in plays) == sorted(
        zip(played.impression_id, played.time_ms, played.play_time_ms / 1000, strict=True)
    )
    source.close()


def test_features_come_as_they_are(spark: SparkSession) -> None:
    source = KuaiRand(str(DATA), ZONE, Pseudonyms())
    users, videos = source.read(spark, "users", []), source.read(spark, "videos", [])
    raw = pd.read_csv(DATA / "user_features_sample.csv").set_index("user_id")
    found = {row.user_id: row for row in users.collect()}
    assert set(found) == set(raw.index)
    for user, row in found.items():
        assert row.is_live_streamer == raw.is_live_streamer[user]  # -124 included
        assert row.user_active_degree == raw.user_active_degree[user]
        hot = raw.onehot_feat4[user]
        assert row.onehot_feat4 == (None if pd.isna(hot) else hot)
    types = dict(users.dtypes) | dict(videos.dtypes)
    assert (types["register_days"], types["onehot_feat4"], types["fans_user_num_range"]) == (
        "bigint",
        "double",
        "string",
    )
    assert (types["author_id"], types["video_duration"], types["tag"]) == ("bigint", "double", "string")
    assert not set(users.columns) & set(videos.columns)


def test_days_are_those_of_the_time_zone_and_parts_are_read_together(spark: SparkSession, tmp_path: Path) -> None:
    before = int(datetime(2022, 4, 8, 15, 59, 59, tzinfo=UTC).timestamp() * 1000)  # 23:59:59 in Shanghai
    write_log(tmp_path / "data" / LOG.format("27k_part1"), [f"1,2,{before},1,500,0,3"])
    write_log(tmp_path / "data" / LOG.format("27k_part2"), [f"1,2,{before + 1000},0,0,9000,4"])
    write_log(tmp_path / "data" / "log_standard_4_22_to_5_08_27k_part1.csv", [f"7,2,{before},0,0,1,0"])
    write_log(tmp_path / "data" / "log_random_4_22_to_5_08_27k.csv", [f"8,2,{before},0,0,1,0"])
    source = KuaiRand(str(tmp_path), ZONE, Pseudonyms())
    found = [
        sorted(source.read(spark, "impressions", [day]).select("user_id", "tab", "length_seconds").collect())
        for day in (date(2022, 4, 8), date(2022, 4, 9))
    ]
    assert found == [[(1, 3, 0.0), (7, 0, 0.001)], [(1, 4, 9.0)]]
    assert len(source.fingerprint("clicks", date(2022, 4, 8))) == 3
    source.close()


def test_a_repeated_impression_is_watched_once_and_clicked_as_its_longest_row_says(
    spark: SparkSession, tmp_path: Path
) -> None:
    time = int(datetime(2022, 4, 8, 3, tzinfo=UTC).timestamp() * 1000)
    rows = [f"1,2,{time},0,3000,9000,0", f"1,2,{time},1,4000,9000,0", f"1,2,{time},1,4000,9000,0"]
    write_log(tmp_path / LOG.format("pure"), [*rows, f"3,2,{time},0,0,9000,0"])
    source = KuaiRand(str(tmp_path), ZONE, Pseudonyms())
    counts = {log: source.read(spark, log, [date(2022, 4, 8)]).count() for log in ("impressions", "clicks", "plays")}
    assert counts == {"impressions": 4, "clicks": 1, "plays": 1}
    play = source.read(spark, "plays", [date(2022, 4, 8)]).first()
    assert play is not None
    assert (play.impression_id, play.watched_seconds) == (f"1-2-{time}", 4.0)
    source.close()


def test_what_cannot_be_read_is_named(spark: SparkSession, tmp_path: Path) -> None:
    day = date(2022, 4, 8)
    with pytest.raises(DataError, match=r"no such folder .*correct logs\.source"):
        KuaiRand(str(tmp_path / "none"), ZONE, Pseudonyms()).fingerprint("clicks", day)
    log = tmp_path / LOG.format("1k")
    write_log(log, ["1,2,x3,0,0,0,0", "1,2,4,0,0,0,0"])
    with pytest.raises(DataError, match=r"4_21_1k\.csv: column 'time_ms' has 1 values that are no bigint, as 'x3'"):
        KuaiRand(str(tmp_path), ZONE, Pseudonyms()).read(spark, "clicks", [day])
    write_log(log, ["1,2,,0,0,0,0"])  # without a time it would be of no day
    with pytest.raises(DataError, match=r"column 'time_ms' has 1 values that are no bigint, as ''"):
        KuaiRand(str(tmp_path), ZONE, Pseudonyms()).read(spark, "clicks", [day])
    write_log(log, ["1,2,3,0,0"], "user_id,video_id,time_ms,click,play_time_ms")
    with pytest.raises(DataError, match=r"4_21_1k\.csv: no column 'is_click'; .*found .*click"):
        KuaiRand(str(tmp_path), ZONE, Pseudonyms()).read(spark, "clicks", [day])
    with pytest.raises(DataError, match=r"users in .*: no file called like user_features_27k\.csv"):
        KuaiRand(str(tmp_path), ZONE, Pseudonyms()).fingerprint("users", None)
    write_log(tmp_path / LOG.format("pure"), ["1,2,3,0,0,0,0"])
    with pytest.raises(DataError, match=r"several sizes, .*_1k\.csv and .*_pure\.csv"):
        KuaiRand(str(tmp_path), ZONE, Pseudonyms()).fingerprint("impressions", day)


def test_a_file_beside_its_compressed_form_is_not_read_twice(tmp_path: Path) -> None:
    for name in (LOG.format("pure"), f"{LOG.format('pure')}.gz"):
        write_log(tmp_path / name, ["1,2,3,0,0,0,0"])
    with pytest.raises(DataError, match=r"4_21_pure\.csv twice, with \.gz and without; remove one"):
        KuaiRand(str(tmp_path), ZONE, Pseudonyms()).fingerprint("clicks", date(2022, 4, 8))


@pytest.mark.slow
def test_the_nine_days_that_come_with_the_project(
    spark: SparkSession, load_conf: Callable[..., Config], lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(NINE_DAYS.parent.parent)  # the configuration's source is relative
    conf = load_conf(name="kuairand")
    source = open_source(conf, lake)
    assert isinstance(source, KuaiRand)
    assert source.timezone == ZONE
    readme = (NINE_DAYS / "README.md").read_text()
    assert "CC BY-SA 4.0" in readme
    assert (NINE_DAYS / "LICENSE").exists()
    listed = {day: int(count.replace(",", "")) for day, count in re.findall(r"\| (2022-\d\d-\d\d) \| ([\d,]+)", readme)}
    days = list(conf.logs.days)
    rows = source.read(spark, "impressions", days)
    assert "tab" in rows.columns
    assert {str(day): count for day, count in rows.groupBy("day").count().collect()} == listed
    raw = pd.read_csv(NINE_DAYS / "log_standard_4_22_to_5_08_pure.csv.gz")
    assert (len(raw), raw.is_click.sum(), raw.user_id.nunique(), raw.video_id.nunique()) == (154071, 68271, 23651, 5992)
    raw["day"] = pd.to_datetime(raw.time_ms, unit="ms", utc=True).dt.tz_convert(ZONE).dt.date
    longest = raw[raw.day.isin(days)].sort_values(["play_time_ms", "is_click"])
    longest = longest.drop_duplicates(["user_id", "video_id", "time_ms"], keep="last")
    assert source.read(spark, "clicks", days).count() == longest.is_click.sum()
    assert [source.read(spark, log, []).count() for log in ("users", "videos")] == [27285, 7583]
    source.close()
