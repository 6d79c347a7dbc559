"""A day whose clicks were lost by half is blocked, its neighbours go on; corrected, the same command brings it in."""

import shutil
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from jobs.cli import main
from ncs.lake import layout, storage
from ncs.lake.layout import Lake
from tests.factories import ROOT

BAD = date(2022, 4, 11)
SETTINGS = ["logs.days=2022-04-08..2022-04-13", "logs.impressions=6000", "logs.synthetic.users=300"]
SETTINGS += ["logs.synthetic.videos=100", "train.epochs=1", "train.threads=1"]
SETTINGS += ["train.models=[layer_share]", "spark.master=local[2]"]


@pytest.mark.slow
def test_a_bad_day_is_held_back_and_comes_in_when_it_is_mended(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lake = Lake.at(str(tmp_path / "lake"))
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    command = ["--conf", str(ROOT / "conf" / "demo.yaml"), *settings, "--lake", lake.root, "--quiet"]
    assert main(["generate", *command]) == 0
    folder = Path(lake.landing, "clicks", f"day={BAD}")
    shutil.copytree(folder, tmp_path / "good")
    (file,) = folder.glob("*.parquet")
    clicks = pq.read_table(file)
    half = clicks.take(list(range(0, len(clicks), 2)))

    def lose_half() -> None:
        shutil.rmtree(folder)  # with the checksums that Spark has put beside its files
        folder.mkdir()
        pq.write_table(half, folder / "half.parquet", coerce_timestamps="us", allow_truncated_timestamps=True)

    lose_half()

    assert main(["run", *command]) == 3
    message = capsys.readouterr().err
    assert "2022-04-11 blocked, the other 5 days are done" in message
    assert "each day's click rate is as the days before it let expect" in message
    encoded = lake.records("gold/ctr_samples")
    assert str(BAD) not in encoded
    assert len(encoded) == 5
    assert not storage.exists(lake.uri("models", "latest.json"))

    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "good", folder)
    assert main(["run", *command]) == 0
    assert str(BAD) in lake.records("gold/ctr_samples")
    assert lake.has(layout.EVALUATIONS)

    before = {table: lake.records(table) for table in (layout.VOCABULARY, "gold/ctr_samples")}
    lose_half()  # re-delivered, and worse: what gold has of the day stays, and its ids keep their meaning
    assert main(["run", *command]) == 3
    assert lake.records(layout.VOCABULARY) == before[layout.VOCABULARY]
    assert lake.records("gold/ctr_samples")[str(BAD)] == before["gold/ctr_samples"][str(BAD)]
