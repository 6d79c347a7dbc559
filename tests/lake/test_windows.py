"""Windows of days: which days they take, what may be missing, ranges without an end. Without Spark."""

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, write_deltalake

from ncs.config import Config
from ncs.days import Days
from ncs.errors import ConfigError, DataError
from ncs.lake import layout
from ncs.lake.layout import Lake, Record, user_metadata
from ncs.lake.windows import close_days, place_window
from tests.factories import toy_conf

WINDOW = ("window.train=3", "split.validation=last_day", "logs.days=2022-04-08..2022-04-20")


def label(lake: Lake, *days: str) -> None:
    """A lake whose samples are of these days; the last is provisional."""
    records = [Record("label", day, {}, {"provisional": day == days[-1]}) for day in days]
    write_deltalake(
        lake.uri(layout.SAMPLES),
        pa.table({"day": days}),
        commit_properties=CommitProperties(custom_metadata={"userMetadata": user_metadata(records)}),
    )


def placed(lake: Lake, *overrides: str, until: str | None = None) -> Config:
    return place_window(toy_conf(*WINDOW, *overrides), lake, Days.parse(until).first if until else None)


def test_a_window_takes_the_last_days_that_are_labelled(lake: Lake) -> None:
    assert not placed(lake).has_learning_days, "nothing is labelled"
    label(lake, *(f"2022-04-{day:02d}" for day in range(8, 15)))
    assert (str(placed(lake).train_days), str(placed(lake).test_days)) == ("2022-04-11..2022-04-13", "2022-04-14")
    assert str(placed(lake, "window.final=true").test_days) == "2022-04-13", "the last one is provisional"
    assert str(placed(lake, until="2022-04-12").learning_days) == "2022-04-09..2022-04-12"
    assert str(placed(lake, until="2022-04-10").learning_days) == "2022-04-08..2022-04-10", "as many as there are"
    with pytest.raises(ConfigError, match="no 3 labelled days yet to train, validate and test on"):
        _ = placed(lake, until="2022-04-09").train_days
    assert str(placed(lake, "window.test=0").train_days) == "2022-04-12..2022-04-14"
    assert str(placed(lake, "logs.days=2022-04-08..2022-04-12").test_days) == "2022-04-12"
    assert str(placed(lake, "logs.days=2022-04-08..2022-04-12", until="2022-04-13").test_days) == "2022-04-13"


def test_a_window_of_a_run_is_kept_as_it_was(lake: Lake) -> None:
    label(lake, *(f"2022-04-{day:02d}" for day in (8, 9, 11, 12, 13)))
    conf = placed(lake, "window.exclude=[2022-04-10]")
    assert str(conf.learning_days) == "2022-04-09, 2022-04-11..2022-04-13"
    assert Config.model_validate(conf.public()) == conf
    train, validation, test = (conf.select(role).days for role in ("train", "validation", "test"))  # type: ignore[arg-type]
    assert [str(train), str(validation), str(test)] == ["2022-04-09, 2022-04-11", "2022-04-12", "2022-04-13"]


def test_days_may_be_missing_as_far_as_is_said(lake: Lake) -> None:
    label(lake, *(f"2022-04-{day:02d}" for day in (8, 9, 12, 13, 14)))
    with pytest.raises(DataError, match=r"lacks 2022-04-10..2022-04-11, within the window of 3 \+ 1 days"):
        placed(lake)
    assert str(placed(lake, "window.max_gap=2").learning_days) == "2022-04-09, 2022-04-12..2022-04-14"
    assert placed(lake, "window.max_gap=1", "window.exclude=[2022-04-10]").has_learning_days
    assert str(placed(lake, "window.train=2").learning_days) == "2022-04-12..2022-04-14"


def test_a_range_without_an_end_is_what_was_delivered(lake: Lake, tmp_path: Path) -> None:
    conf = toy_conf(f"logs.source={tmp_path}", "logs.days=2022-04-09..")
    with pytest.raises(DataError, match=r"logs\.days is 2022-04-09\.\., and .* has no such day"):
        close_days(conf, lake)
    for name in ("day=2022-04-08", "day=2022-04-09", "day=2022-04-11", "day=2022-04-12", "notes"):
        (tmp_path / "impressions" / name).mkdir(parents=True)
    assert str(close_days(conf, lake).logs.days) == "2022-04-09, 2022-04-11..2022-04-12"
    with pytest.raises(ConfigError, match=r"2022-04-09\.\. has no end, which goes with folders of days"):
        toy_conf("logs.days=2022-04-09..")


def test_days_that_are_left_out_are_in_no_split() -> None:
    conf = toy_conf("logs.days=2022-04-08..2022-04-12", "window.exclude=[2022-04-09]")
    assert str(conf.train_days) == "2022-04-08, 2022-04-10..2022-04-11"
    with pytest.raises(ConfigError, match="write one day as 2022-04-08"):
        toy_conf("window.exclude=[2022-04-09..2022-04-10]")
