"""What `ncs status` tells of a lake, without a JVM."""

import json
import os
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pytest
from deltalake import CommitProperties

from jobs.cli import main
from jobs.job import Job
from jobs.pipeline import encode, ingest, label
from jobs.pipeline.status import status
from ncs.days import Days
from ncs.errors import DataError
from ncs.lake import layout
from ncs.lake.layout import ALL, Record
from ncs.lake.status import PartitionStatus, summary
from ncs.logs.source import open_source
from tests.factories import ROOT
from tests.jobs.conftest import DAYS, LAST, write_part
from validation import verdicts
from validation.verdicts import Finding, Verdict


def of(found: list[PartitionStatus], table: str, key: object) -> PartitionStatus:
    (part,) = [part for part in found if (part.table, part.day) == (table, str(key))]
    return part


def test_a_lake_that_is_up_to_date(written: Job) -> None:
    found = status(written)
    assert [part.stale for part in found] == [[]] * len(found)
    assert {part.table for part in found} == {*ingest.TABLES.values(), layout.SAMPLES, layout.QUARANTINE} | {
        layout.VOCABULARY,
        "gold/ctr_samples",
        "gold/cvr_samples",
    }
    last = of(found, layout.SAMPLES, LAST)
    assert (last.rows, last.version, last.provisional, last.gate) == (3, 2, True, "not checked")
    assert (last.quarantined, last.duplicates) == (2, 3)
    assert not of(found, layout.SAMPLES, DAYS.first).provisional
    assert last.provenance[f"{layout.CLICKS}/{LAST}"] == 2
    assert last.written is not None
    assert abs((datetime.now(last.written.tzinfo) - last.written).total_seconds()) < 600
    assert of(found, layout.USERS, ALL).rows == 4


def test_what_has_changed_is_said_at_every_stage_that_it_reaches(written: Job) -> None:
    (Path(str(written.conf.logs.source)) / "clicks" / f"day={LAST}" / "a.csv").write_text("re-delivered")
    assert of(status(written), layout.CLICKS, LAST).stale == ["files"]
    provenance = ingest.provenance(written, open_source(written.conf, written.lake), "clicks", LAST)
    write_part(written.lake, layout.CLICKS, 6, Record("ingest", str(LAST), provenance))
    found = status(written)
    assert of(found, layout.CLICKS, LAST).stale == []
    # The day before reaches into this one.
    for day in (date(2022, 4, 9), LAST):
        assert of(found, layout.SAMPLES, day).stale == [f"{layout.CLICKS}/{LAST} 2 -> 3"]
    assert of(found, layout.SAMPLES, DAYS.first).stale == []
    hours = Job(written.conf.with_keys({"labels.window_hours": 12.0}), written.lake, DAYS)
    assert of(status(hours), layout.SAMPLES, DAYS.first).stale == ["configuration"]


def test_one_line_says_what_is_stale_and_blocked(written: Job) -> None:
    (Path(str(written.conf.logs.source)) / "clicks" / f"day={LAST}" / "a.csv").write_text("re-delivered")
    assert summary(status(written)) == f"2 days current, stale: {LAST}"
    failure = Finding("clicked", "click rate", "found 0.1", "expect_no_rows", [str(DAYS.first)])
    verdicts.keep(written.lake, [Verdict(layout.SAMPLES, 2, str(DAYS), "x", False, [failure])], "run")
    assert summary(status(written)) == f"1 day current, blocked: {DAYS.first}, stale: {LAST}"


def test_days_that_are_missing_or_gone(written: Job) -> None:
    written.days = DAYS.widened(after=1)
    os.remove(Path(str(written.conf.logs.source)) / "plays" / f"day={LAST}" / "a.csv")
    found = status(written)
    assert "were these logs delivered?" in of(found, layout.PLAYS, LAST).stale[0]
    new = of(found, layout.PLAYS, "2022-04-11")
    assert (new.rows, new.version) == (0, None)
    assert "no folder" in new.stale[0]


def test_the_gate_is_shown_by_day(written: Job) -> None:
    failure = Finding("clicked", "click rate", "found 0.1", "expect_no_rows", [str(LAST)])
    verdicts.keep(written.lake, [Verdict(layout.SAMPLES, 2, str(DAYS), "x", False, [failure])], "run")
    found = status(written)
    assert [of(found, layout.SAMPLES, day).gate for day in DAYS] == ["pass", "pass", "stop"]
    verdicts.keep(written.lake, [Verdict(layout.SAMPLES, 3, str(LAST), "y", True)], "later run")
    assert of(status(written), layout.SAMPLES, LAST).gate == "pass"


def test_a_verdict_is_of_the_rows_that_it_has_seen(written: Job) -> None:
    verdicts.keep(written.lake, [Verdict(layout.SAMPLES, 2, str(DAYS), "x", True)], "run")
    provenance = label.provenance(written, LAST)
    write_part(written.lake, layout.SAMPLES, 3, Record("label", str(LAST), provenance))
    assert [of(status(written), layout.SAMPLES, day).gate for day in DAYS] == ["pass", "pass", "not checked"]
    optimize = written.lake.table(layout.SAMPLES).optimize.compact()  # lays rows out again, and changes none
    assert optimize["numFilesRemoved"] > 0
    found = status(written)
    assert [of(found, layout.SAMPLES, day).gate for day in DAYS] == ["pass", "pass", "not checked"]
    assert all(part.stale == [] for part in found if part.table == layout.SAMPLES)
    assert of(found, layout.QUARANTINE, LAST).gate == "-", "it has no suite"


@pytest.mark.parametrize(
    "message", ["by hand", "7", "null", '{"job": 1}', "[]", "[1]", '[{"key": "x"}]', '[{"key": 3, "stage": "label"}]']
)
def test_what_another_program_has_written_is_said_and_reaches_what_depends_on_it(written: Job, message: str) -> None:
    table, day = written.lake.table(layout.SAMPLES), str(DAYS.first)
    told = CommitProperties(custom_metadata={"userMetadata": message})
    table.delete(f"day = '{day}' AND n = 1", commit_properties=told)
    found = status(written)
    assert of(found, layout.SAMPLES, day).stale == ["changed by another writer (DELETE, version 3)"]
    assert (of(found, layout.SAMPLES, day).rows, of(found, layout.SAMPLES, day).version) == (2, 3)
    assert of(found, layout.SAMPLES, LAST).stale == []
    for name, key in ((layout.VOCABULARY, ALL), ("gold/ctr_samples", day)):
        assert of(found, name, key).stale == [f"{layout.SAMPLES}/{day} 0 -> 3"]
    write_part(written.lake, layout.SAMPLES, 3, Record("label", day, label.provenance(written, DAYS.first)))
    assert of(status(written), layout.SAMPLES, day).stale == []


def test_a_day_that_is_blocked_is_named_when_another_error_ends_the_run(
    written: Job, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def hold_and_fail(job: Job) -> None:
        job.block(LAST, DataError("plays of it are gone"))
        raise DataError("the disk is full")

    monkeypatch.setattr("jobs.pipeline.label.run", hold_and_fail)
    command = ["label", "--conf", str(ROOT / "conf" / "demo.yaml"), "--lake", written.lake.root, "--quiet"]
    command += ["--set", f"logs.source={written.conf.logs.source}", "--set", f"logs.days={DAYS}"]
    assert main(command) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == ["ncs label: the disk is full", f"{LAST} blocked: plays of it are gone"]
    assert main([*command, "--days", str(LAST)]) == 3
    assert f"{LAST} blocked, no other day is left" in capsys.readouterr().err


def test_the_command_prints_a_table_or_json(written: Job, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [
        "--set",
        f"logs.source={written.conf.logs.source}",
        "--set",
        f"logs.days={DAYS}",
        "--lake",
        written.lake.root,
    ]
    command = ["status", "--conf", str(ROOT / "conf" / "demo.yaml"), *settings]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    row = lines[lines.index(layout.SAMPLES) + 5].split()
    assert row[:8] == [str(LAST), "3", "2", "provisional", "not", "checked", "2", "3"]
    assert lines[-2:] == ["", "3 days current, 1 of them provisional, nothing stale"]
    assert main([*command, "--brief"]) == 0
    assert capsys.readouterr().out.splitlines() == lines[-1:]
    assert main([*command, "--json", "--days", str(LAST)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {part["day"] for part in found} == {str(LAST), ALL}


def test_a_day_is_opened_again_by_the_logs_of_the_next(written: Job) -> None:
    """What `ncs run --days D` does about the day before D, and what `ncs label --days D` leaves alone."""
    today = replace(written, days=Days(LAST, LAST))
    assert str(label.with_reopened(today)) == str(LAST)
    (Path(str(written.conf.logs.source)) / "clicks" / f"day={LAST}" / "a.csv").write_text("late")
    provenance = ingest.provenance(written, open_source(written.conf, written.lake), "clicks", LAST)
    write_part(written.lake, layout.CLICKS, 6, Record("ingest", str(LAST), provenance))
    assert str(label.with_reopened(today)) == "2022-04-09..2022-04-10"
    assert str(label.with_reopened(replace(written, days=DAYS))) == str(DAYS)


def test_days_of_an_earlier_vocabulary_are_encoded_with_the_others(written: Job) -> None:
    today = replace(written, days=Days(LAST, LAST))
    assert list(encode.provenance(today)) == [LAST]
    write_part(written.lake, layout.VOCABULARY, 5, Record("encode", ALL, {"conf": "another"}))
    assert list(encode.provenance(today)) == list(DAYS)
