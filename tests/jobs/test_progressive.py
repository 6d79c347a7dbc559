"""What `ncs daily` decides without Spark: what it goes on from, which days are done, what has old rows."""

from datetime import date

import pytest

from jobs.cli import make_job, parse
from jobs.job import Job
from jobs.pipeline import progressive
from jobs.pipeline.daily import check_days
from jobs.pipeline.promote import RefusedError
from ncs.config import Config
from ncs.days import Days
from ncs.errors import ConfigError, DataError
from ncs.lake import layout, storage
from ncs.lake.layout import Lake, Record
from ncs.lake.registry import CANDIDATE, ModelRef, Registry
from tests.evaluation.factories import described
from tests.factories import ROOT, toy_conf
from tests.jobs.conftest import write_part

MODEL = "layer_share"


def conf_until(day: int, *more: str) -> Config:
    conf = toy_conf("window.train=3", "window.test=0", f"train.models={MODEL}", *more)
    return conf.with_keys({"window.days": f"2022-04-08..2022-04-{day:02d}"})


def take(lake: Lake, day: int, parent: str | None) -> str:
    """A day that was taken: its run, going on from another or from nothing, is the candidate."""
    run_id = f"toy-{day:02d}"
    run = described(run_id=run_id, models=[MODEL], conf=conf_until(day).model_dump())
    run["lineage"] = run["lineage"] | {"parent": parent}
    storage.write_json(lake.uri("models", run_id, "run.json"), run)
    evidence = f'{{"inputs": {{"silver/samples/2022-04-{day:02d}": 0}}}}'
    registry, on = Registry.read(lake), date(2022, 4, day)
    registry.append(CANDIDATE, "register", ModelRef(run_id, MODEL), "trained", day=on, evidence=evidence)
    return run_id


def parent(lake: Lake, day: int, every: int) -> str | None:
    days = Days(date(2022, 4, day), date(2022, 4, day))
    return progressive._parent(Job(conf_until(day, f"daily.scratch_every={every}"), lake, days))


def test_each_so_many_days_begin_from_nothing(lake: Lake) -> None:
    assert parent(lake, 9, every=3) is None, "there is nobody to go on from"
    first = take(lake, 9, None)
    assert [parent(lake, 10, every) for every in (1, 2, 3)] == [None, first, first]
    second = take(lake, 10, first)
    assert [parent(lake, 11, every) for every in (1, 2, 3)] == [None, None, second]
    third = take(lake, 11, second)
    assert [parent(lake, 12, every) for every in (2, 3, 4)] == [None, None, third]
    fourth = take(lake, 12, None)
    assert [parent(lake, 13, every) for every in (1, 2, 3)] == [None, fourth, fourth]
    assert parent(lake, 12, every=3) is None, "it has learnt from that day"


def test_trees_begin_from_nothing_each_day(lake: Lake) -> None:
    take(lake, 9, None)
    days = Days.parse("2022-04-10")
    conf = conf_until(10, "daily.scratch_every=7", "train.models=layer_share_gbdt")
    assert progressive._parent(Job(conf, lake, days)) is None


def test_a_candidate_that_is_worse_is_no_parent(lake: Lake) -> None:
    first = take(lake, 9, None)
    day = Days.parse("2022-04-10")
    job = Job(conf_until(10, "daily.scratch_every=7"), lake, day)
    assert progressive._begin(job, None) == (first, None)
    assert progressive._begin(job, RefusedError("CTR has 3 labelled rows")) == (first, None)
    why = f"not going on from {first}: on 2022-04-10 CTR AUC differs by -0.1"
    refusal = RefusedError("not promoted", ["CTR AUC differs by -0.1"])
    assert progressive._begin(job, refusal) == (None, why)
    each_day = Job(conf_until(10, "daily.scratch_every=1"), lake, day)
    assert progressive._begin(each_day, refusal) == (None, None), "it would begin from nothing anyway"


def test_done_days_are_left_and_old_rows_named(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    write_part(lake, layout.SAMPLES, 2, Record("label", "2022-04-10", {}))
    take(lake, 10, None)
    job = Job(conf_until(10), lake, Days.parse("2022-04-10"))
    progressive.run(job)
    assert capsys.readouterr().err == "daily: 2022-04-10 is done, toy-10/layer_share\n"
    write_part(lake, layout.SAMPLES, 2, Record("label", "2022-04-10", {}))
    progressive.run(job)
    assert "trained on old rows of 2022-04-10, --again replays it" in capsys.readouterr().err
    assert len(Registry.read(lake).entries) == 1


def test_a_day_that_is_missing_stops_what_trains_alone(lake: Lake) -> None:
    for day in (8, 11, 12):
        write_part(lake, layout.SAMPLES, 2, Record("label", f"2022-04-{day:02d}", {}))
    command = ["--conf", str(ROOT / "conf" / "demo.yaml"), "--lake", lake.root, "--set", "window.train=3"]
    for stage in ("ingest", "rollback", "status"):
        assert not make_job(parse([stage, *command])).conf.has_learning_days
    with pytest.raises(DataError, match=r"silver/samples lacks 2022-04-09..2022-04-10, within the window"):
        make_job(parse(["train", *command]))
    assert make_job(parse(["train", *command, "--set", "window.max_gap=2"])).conf.has_learning_days


def test_a_day_that_nothing_is_learnt_from_is_refused(lake: Lake) -> None:
    day = Days.parse("2022-05-01")
    with pytest.raises(
        ConfigError, match=r"--days 2022-05-01: models are trained and compared on logs\.days, 2022-04-08"
    ):
        check_days(Job(toy_conf(), lake, day))
    check_days(Job(toy_conf(), lake, Days.parse("2022-04-09")))
    two = toy_conf("logs.days=2022-04-08..2022-04-09", "split.validation=last_day")
    with pytest.raises(ConfigError, match=r"split\.validation: last_day leaves none of 2022-04-08 to train on"):
        check_days(Job(two, lake, two.logs.days))
    hours = two.with_keys({"split.validation": "30 hours"})
    with pytest.raises(ConfigError, match=r"split\.validation: 30 hours leaves none of 2022-04-08 to train on"):
        check_days(Job(hours, lake, hours.logs.days))
    check_days(Job(two.with_keys({"split.validation": "6 hours"}), lake, two.logs.days))


def test_a_window_that_no_day_can_fill_is_refused_before_a_day_is_read(lake: Lake) -> None:
    window = ("window.train=3", "split.validation=last_day", "logs.days=2022-04-08..2022-04-20")
    with pytest.raises(ConfigError, match=r"window\.train: 1 leaves no day to train on beside those of split\.val"):
        toy_conf(*window, "window.train=1")
    conf = toy_conf(*window)
    with pytest.raises(ConfigError, match=r"window: 3 days are needed .* or among --days 2022-04-08\.\.2022-04-09"):
        check_days(Job(conf, lake, Days.parse("2022-04-08..2022-04-09")))
    check_days(Job(conf, lake, Days.parse("2022-04-08..2022-04-10")))
    for day in (8, 9):
        write_part(lake, layout.SAMPLES, 2, Record("label", f"2022-04-{day:02d}", {}))
    check_days(Job(conf, lake, Days.parse("2022-04-10")))
    with pytest.raises(DataError, match=r"silver/samples lacks 2022-04-10\.\.2022-04-12, within the window of 3 \+ 1"):
        check_days(Job(conf, lake, Days.parse("2022-04-13")))
