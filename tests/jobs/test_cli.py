"""Exit codes and messages of the command line, as somebody at a terminal sees them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.cli import STAGES, main
from ncs.lake.layout import Lake
from tests.factories import ROOT

DEMO = str(ROOT / "conf" / "demo.yaml")


def test_help_names_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(re.search(rf"\n    {stage}\s", printed) for stage in STAGES)


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
        ("ingest", "no logs at {lake}/landing; run `ncs generate` for synthetic ones, or mend logs.source"),
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
    capsys.readouterr()
    assert main(["train", "--conf", DEMO, "--lake", lake.root, "--set", "logs.impressions=5000"]) == 1
    assert "logs.impressions is 300000 there, 5000 here. Use another --lake" in capsys.readouterr().err


@pytest.mark.parametrize("stage", STAGES)
def test_each_job_is_a_script_of_its_own(stage: str) -> None:
    path = ROOT / "jobs" / f"{stage}.py"
    text = path.read_text()
    assert re.search(rf"(ncs {stage}|spark-submit jobs/{stage}\.py)\b.* --conf", text)
    if stage in ("train", "label"):  # one of each half; starting Python nine times is slow
        done = subprocess.run([sys.executable, str(path), "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert f"usage: ncs {stage}" in done.stdout
