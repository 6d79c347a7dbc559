"""The Databricks bundle: tasks that name what the wheel has, schedules that are paused, one run at a time."""

import configparser
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from jobs import cli, promote
from jobs.job import Job
from jobs.pipeline import progressive
from jobs.stage import daily_flow
from ncs.days import Days
from ncs.lake.layout import Lake
from ncs.lake.registry import CANDIDATE, ModelRef, Registry
from tests.factories import ROOT, toy_conf

BUNDLE = yaml.safe_load((ROOT / "databricks.yml").read_text())
JOBS: dict[str, dict[str, Any]] = {}
for path in ROOT.glob("resources/*.yml"):
    JOBS |= yaml.safe_load(path.read_text())["resources"]["jobs"]


def test_targets_and_wheel() -> None:
    assert {name: target["mode"] for name, target in BUNDLE["targets"].items()} == {
        "dev": "development",
        "prod": "production",
    }
    assert BUNDLE["targets"]["dev"]["default"] is True
    assert BUNDLE["artifacts"]["ncs"]["build"] == "make wheel"
    assert any(line.startswith("wheel:") for line in (ROOT / "Makefile").read_text().splitlines())


def test_the_wheel_can_be_installed_on_the_runtime() -> None:
    """Pip refuses a wheel that is for other versions of Python; a runtime's is in Databricks' release notes."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    runtime, _, _ = BUNDLE["variables"]["spark_version"]["default"].partition(".x-")
    assert {"17.3": "3.12.3"}[runtime] in SpecifierSet(setup["options"]["python_requires"])
    assert "3.11" in SpecifierSet(setup["options"]["python_requires"])


@pytest.mark.parametrize("job", JOBS.values(), ids=list(JOBS))
def test_each_task_runs_a_stage_of_the_wheel(job: dict[str, Any]) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    scripts = setup["options.entry_points"]["console_scripts"].split("\n")
    entry_points = dict(line.split(" = ") for line in scripts if line)
    for task in job["tasks"]:
        wheel = task["python_wheel_task"]
        assert wheel["package_name"] == setup["metadata"]["name"]
        module, _, name = entry_points[wheel["entry_point"]].partition(":")
        assert (module, callable(getattr(cli, name))) == ("jobs.cli", True)
        values = {one["name"]: str(one["default"]) for one in job.get("parameters", [])}
        cli.parse(
            [_filled(text, values) for text in wheel["parameters"]]
        )  # ends the process where it does not understand them
        assert task["libraries"] == [{"whl": "../dist/*.whl"}]
        assert task["job_cluster_key"] in [cluster["job_cluster_key"] for cluster in job["job_clusters"]]
    assert job["max_concurrent_runs"] == 1
    assert job.get("schedule", {}).get("pause_status") == (None if job is JOBS["ncs_backfill"] else "PAUSED")


def _filled(text: str, values: dict[str, str]) -> str:
    """A parameter of a task as the job fills it in: its own parameters where it names one."""
    name = text.removeprefix("{{job.parameters.").removesuffix("}}")
    return values.get(name, text) if name != text else text


def test_files_that_arrive_can_start_the_daily_job() -> None:
    lines = (ROOT / "resources" / "daily.yml").read_text().splitlines()
    commented = [line.partition("# ")[2] for line in lines if line.startswith("      # ")]
    trigger = yaml.safe_load("\n".join(commented[1:]))["trigger"]
    assert trigger["file_arrival"].keys() == {
        "url",
        "min_time_between_triggers_seconds",
        "wait_after_last_change_seconds",
    }


def test_the_daily_job_tests_and_then_trains() -> None:
    daily, promotion = JOBS["ncs_daily"]["tasks"]
    assert daily["python_wheel_task"]["parameters"][:3] == ["daily", "--no-promote", "--days"]
    assert promotion["python_wheel_task"]["parameters"][:3] == ["promote", "--model", "{{tasks.daily.values.judged}}"]
    assert (promotion["depends_on"], promotion["max_retries"]) == ([{"task_key": "daily"}], 0)
    assert {one["name"]: one["default"] for one in JOBS["ncs_daily"]["parameters"]}["days"] == "", "each day there is"


def test_the_weekly_job_is_the_stages_in_order() -> None:
    tasks = JOBS["ncs_weekly"]["tasks"]
    stages = [task["python_wheel_task"]["parameters"][0] for task in tasks]
    # Generated logs are for demonstrations; whether runs are tracked is a matter of the configuration.
    declared = [stage for stage in daily_flow() if stage.name not in ("generate", "track")]
    assert [stage for stage in stages if stage != "validate"] == [stage.name for stage in declared]
    checked = [stage for stage, after in pairwise(stages) if after == "validate"]
    assert checked == [stage.name for stage in declared if stage.daily and stage.daily.gate and stage.daily.by_day]
    for before, task in pairwise(tasks):
        assert task["depends_on"] == [{"task_key": before["task_key"]}]
    retries = {task["task_key"]: task["max_retries"] for task in tasks}
    assert {key for key, number in retries.items() if number == 0} == {"gate_logs", "gate_samples", "gate_all"}


def test_a_failure_is_an_exception_to_who_calls_the_entry_point(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["ncs", "label", "--conf", "demo.yaml", "--lake", str(tmp_path / "lake")])
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")  # a task's process goes on after it
    with pytest.raises(SystemExit) as ended:
        cli.command()
    assert ended.value.code == 1


class TaskValues(dict[str, str]):
    """Databricks' own, as far as it is asked."""

    def set(self, key: str, value: str) -> None:
        self[key] = value


def test_the_daily_task_hands_on_the_model_that_was_judged(
    monkeypatch: pytest.MonkeyPatch, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    values = TaskValues()
    runtime = SimpleNamespace(dbutils=SimpleNamespace(jobs=SimpleNamespace(taskValues=values)))
    monkeypatch.setitem(sys.modules, "databricks.sdk.runtime", runtime)
    days = Days.parse("2022-04-09..2022-04-10")
    job = Job(toy_conf("window.train=3"), lake, days)
    for day in days:
        ref = ModelRef(f"toy-{day}", "layer_share")
        Registry.read(lake).append(CANDIDATE, "register", ref, "trained", day=day)
    progressive.run(job, promotes=False)
    assert not values, "it is no task of Databricks"
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    progressive.run(job, promotes=False)
    assert values == {"candidate": "toy-2022-04-10/layer_share", "judged": "toy-2022-04-09/layer_share"}
    progressive.run(Job(job.conf, lake, Days.parse("2022-04-09")), promotes=False)
    assert values["judged"] == "", "nobody was there to be judged"
    capsys.readouterr()
    promote.run(job, model=values["judged"])
    assert capsys.readouterr().err == "promote: no candidate was judged\n"
