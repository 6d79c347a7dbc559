"""Exit codes and messages of the command line, as somebody at a terminal sees them."""

import os
import re
import shlex
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import pytest

from jobs import cli
from jobs.cli import main
from jobs.stage import Group, stages
from ncs import config
from ncs.days import Days
from ncs.lake.layout import Lake
from tests.factories import ROOT

DEMO = str(ROOT / "conf" / "demo.yaml")


def test_help_names_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    for group in Group:
        listed = re.search(rf"\n{group}:\n((?:  .*\n)+)", printed)
        assert listed
        named = re.findall(r"^  (\w+) ", listed[1], re.MULTILINE)
        assert named == [name for name, stage in stages().items() if stage.group is group]


def test_a_stages_help_shows_its_own_options_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for name, stage in stages().items():
        with pytest.raises(SystemExit) as ended:
            main([name, "--help"])
        assert ended.value.code == 0
        printed = capsys.readouterr().out
        assert all(f"  {example}\n" in printed for example in stage.examples)
        for option, users in {
            "--apply": {"maintain"},
            "--workers": {"train", "compare", "sweep", "run", "daily"},
        }.items():
            assert (f" {option}" in printed.partition("Examples:")[0]) == (name in users), (name, option)


def test_each_example_is_understood() -> None:
    for name, stage in stages().items():
        assert stage.examples
        for example in stage.examples:
            program, *arguments = shlex.split(example)
            if program == "spark-submit":
                assert arguments.pop(0) == f"jobs/{name}.py"
                arguments = [name, *arguments]
            assert cli.parse(arguments).stage == stage


def test_help_imports_nothing_heavy() -> None:
    """The declarations of all stages together cost a fraction of a second."""
    code = "import sys; from jobs.stage import stages; import jobs.cli; assert len(stages()) > 20; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    heavy = {"pyspark", "torch", "deltalake", "pyarrow", "great_expectations", "pandas", "numpy", "pydantic"}
    assert not heavy & set(done.stdout.split())


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"ncs {version('ncs')}\n"


def test_a_mistyped_stage_is_told_what_was_meant(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["lable", "--conf", DEMO])
    assert ended.value.code == 2
    assert "Did you mean 'label'?" in capsys.readouterr().err


def test_the_shell_completes_stages() -> None:
    completion = {"_NCS_COMPLETE": "bash_complete", "COMP_WORDS": "ncs qua", "COMP_CWORD": "1"}
    command = [str(Path(sys.executable).parent / "ncs")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | completion)
    assert done.stdout.split() == ["plain,quarantine"]


def test_the_environment_stands_in_for_conf_and_lake(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NCS_CONF", DEMO)
    monkeypatch.setenv("NCS_LAKE", lake.root)
    assert main(["status"]) == 1
    assert f"there is no lake at {lake.root}; name one with --lake" in capsys.readouterr().err
    assert cli.parse(["status", "--lake", "elsewhere"]).values["lake"] == "elsewhere"


def test_options_that_stand_for_a_key() -> None:
    call = cli.parse(["compare", "--conf", DEMO, "--models", "a,b", "--seeds", "3", "--hosts", "x:2,y:4"])
    assert call.keys == ("compare.models=[a,b]", "compare.seeds=3", "launch.hosts=x:2,y:4", "workers=6")
    assert cli.parse(["label", "--conf", DEMO, "--workers", "2", "--hosts", "x:4"]).keys == (
        "workers=2",
        "launch.hosts=x:4",
    )


def test_the_names_of_the_version_before_go_on_working() -> None:
    assert cli.parse(["sweep", "--conf", DEMO, "--key", "a", "--values", "[1]", "--systems", "all"]).keys == (
        "compare.models=[all]",
    )
    for arguments, model in (([], "connection_share"), (["--model", "ple"], "ple"), (["--system", "ple"], "ple")):
        assert cli.parse(["export", "--conf", DEMO, *arguments]).values["model"] == model


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["label"], ["label", "--conf", DEMO, "--workers", "two"]])
def test_bad_usage_ends_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "train.epoch=1"], "ncs label: .*demo.yaml: train.epoch is no key of the configuration"),
        (["--days", "yesterday"], "ncs label: 'yesterday' is no range of days"),
        (["--workers", "0"], "workers: Input should be greater than or equal to 1"),
    ],
)
def test_a_bad_configuration_ends_with_2_and_one_line(
    arguments: list[str], message: str, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["label", "--conf", DEMO, "--lake", lake.root, *arguments]) == 2
    printed = capsys.readouterr().err
    assert len(printed.splitlines()) == 1
    assert re.search(message, printed)
    assert not Path(lake.root).exists()


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ("label", "bronze/impressions has no day 2022-04-08; run `ncs ingest --days 2022-04-08` first"),
        ("encode", "silver/samples lacks training days 2022-04-08..2022-04-15, "),
        ("train", "gold/vocabulary is not in the lake"),
        ("predict", "has no trained run; run `ncs train`"),
        ("evaluate", "has no trained run; run `ncs train`"),
        ("validate", "has no table to validate; run `ncs ingest` first"),
        ("ingest", "no logs at {lake}/landing; run `ncs generate` for synthetic ones, or correct logs.source"),
    ],
)
def test_a_stage_without_its_input_says_what_to_run(
    stage: str, message: str, lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([stage, "--conf", DEMO, "--lake", lake.root]) == 1
    printed = capsys.readouterr().err
    assert message.format(lake=lake.root) in printed
    assert len(printed.splitlines()) == 1


def test_a_lake_of_other_logs_is_refused(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "--conf", DEMO, "--lake", lake.root])
    Path(lake.landing).mkdir()
    capsys.readouterr()
    assert main(["train", "--conf", DEMO, "--lake", lake.root, "--set", "logs.impressions=5000"]) == 1
    assert "logs.impressions is 300000 there, 5000 here. Use another --lake" in capsys.readouterr().err


@pytest.mark.parametrize("stage", stages())
def test_each_job_is_a_script_of_its_own(stage: str) -> None:
    path = ROOT / "jobs" / f"{stage}.py"
    assert 'if __name__ == "__main__":\n    STAGE.main()\n' in path.read_text()
    if stage in ("train", "label"):  # one of each half; starting Python nine times is slow
        done = subprocess.run([sys.executable, str(path), "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert f"Usage: ncs {stage}" in done.stdout


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("foo://x", "foo://x: Protocol not known: foo; name a folder, or a URI of a store whose package is installed"),
        ("/dev/null", "--lake: /dev/null is no folder; name one, or a path where there is nothing yet"),
    ],
)
def test_a_place_that_holds_no_lake_is_a_usage_error(
    place: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--conf", DEMO, "--lake", place]) == 2
    assert capsys.readouterr().err == f"ncs status: {message}\n"


def test_days_without_an_end_are_those_of_the_configuration(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    lake.bind(config.load(DEMO))
    job = cli.make_job(cli.parse(["status", "--conf", DEMO, "--lake", lake.root, "--days", "2022-04-14.."]))
    assert (job.days, job.until) == (Days.parse("2022-04-14..2022-04-16"), date(2022, 4, 16))
    assert main(["status", "--conf", DEMO, "--lake", lake.root, "--days", "2022-04-17.."]) == 2
    assert "--days 2022-04-17.. is after the last day of logs.days, 2022-04-16" in capsys.readouterr().err
