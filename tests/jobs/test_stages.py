"""Stages are declared once: their order, their tables, and what a further one needs."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import jobs
from jobs.cli import main
from jobs.job import Job
from jobs.pipeline.daily import checked_tables, take
from jobs.stage import daily_flow, stages
from ncs.config import Config
from ncs.lake import names
from ncs.lake.layout import Lake
from ncs.lake.tables import TABLES
from tests.factories import ROOT

TOY = '''"""Count the evaluations of a run."""

import click

from jobs.job import Job
from jobs.stage import Daily, Group, Stage
from ncs.lake import names


def run(job: Job, times: int = 1) -> None:
    """Count."""
    print("counted", times, job.conf.name)


def wanted(job: Job) -> dict[str, dict[str, dict[str, int]]]:
    """What the counts would be made from now."""
    return {"gold/counts": {"all": {"inputs": {}}}}


STAGE = Stage(
    name="count",
    help="Count evaluations.",
    details=__doc__,
    group=Group.DAILY,
    run=run,
    examples=("ncs count --conf conf/demo.yaml --times 2",),
    arguments=(click.Option(["--times"], type=int, default=1, help="How often."),),
    reads=(names.EVALUATIONS,),
    writes=("gold/counts",),
    daily=Daily(),
    wanted=wanted,
)
'''


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in a folder of the package `jobs`, and nothing else."""
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "count.py").write_text(TOY)
    monkeypatch.setattr(jobs, "__path__", [*jobs.__path__, str(folder)])
    monkeypatch.delitem(sys.modules, "jobs.count", raising=False)


@pytest.mark.usefixtures("toy")
def test_a_stage_is_one_file(lake: Lake, load_conf: Callable[..., Config], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "  count       Count evaluations.\n" in capsys.readouterr().out
    command = ["--conf", str(ROOT / "conf" / "demo.yaml"), "--lake", lake.root]
    assert main(["count", *command, "--times", "2"]) == 0
    assert capsys.readouterr().out == "counted 2 demo\n"
    flow = [stage.name for stage in daily_flow()]
    assert flow.index("count") > flow.index("evaluate"), "its place in `ncs run` follows from what it reads"
    assert main(["status", *command]) == 0
    assert "\n\ngold/counts\n" in capsys.readouterr().out, "`ncs status` shows it"


def test_the_daily_flow_follows_from_the_tables() -> None:
    by_day, by_run = ([stage.name for stage in daily_flow(by_day=days)] for days in (True, False))
    assert by_day == ["generate", "ingest", "label", "encode"]
    assert by_run == ["train", "predict", "evaluate", "track"]


def test_what_is_checked_after_a_stage(load_conf: Callable[..., Config]) -> None:
    conf = load_conf()
    assert {stage.name: checked_tables(stage, conf) for stage in daily_flow() if stage.daily and stage.daily.gate} == {
        "ingest": list(names.BRONZE),
        "label": [names.SAMPLES],
        "encode": ["gold/ctr_samples", "gold/cvr_samples"],
        "predict": [names.PREDICTIONS],
    }


def test_a_stage_that_the_configuration_does_not_ask_for_is_left_out(
    lake: Lake, load_conf: Callable[..., Config]
) -> None:
    conf = load_conf()
    take(Job(conf, lake, conf.logs.days), stages()["track"])  # track.uri is null, which `ncs track` takes for an error


def test_stages_and_tables_agree_on_who_writes_what() -> None:
    for name, table in TABLES.items():
        pattern = names.ENCODED if name.endswith("_samples") and name.startswith("gold/") else name
        assert pattern in stages()[table.stage].writes, name
    written = {table for stage in stages().values() for table in stage.writes}
    assert written - {*TABLES, names.ENCODED} == {names.LANDING, names.MODELS}
    read = {table for stage in stages().values() for table in stage.reads}
    assert read <= written, "what nobody writes"
