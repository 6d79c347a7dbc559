"""A bad day is blocked by the gate, the days around it pass."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.job import Job
from jobs.pipeline.validate import block_days, gate
from ncs.config import Config
from ncs.days import Days
from ncs.errors import GateError
from ncs.lake import layout
from ncs.lake.layout import Lake, Record
from ncs.lake.writer import replace_days
from tests.validation.test_gate import FIELDS, SAMPLES, write_users
from validation import quality_page, verdicts

DAYS = Days.parse("2022-04-08..2022-04-12")
BAD = date(2022, 4, 11)


def write_labelled(
    spark: SparkSession,
    lake: Lake,
    clicks: dict[date, int],
    missing: dict[date, int],
    profiles: Mapping[date, dict[str, Any]] | None = None,
) -> None:
    """20 rows a day, 10 clicked, none without a length unless said otherwise; with the facts of `ncs label`."""
    rows, records = [], []
    for day in DAYS:
        clicked, without = clicks.get(day, 10), missing.get(day, 0)
        for n in range(20):
            length = 20.0 if n >= without else None
            cvr = 0.5 if n < clicked and length else None
            ts = datetime(day.year, day.month, day.day, 12, n)
            rows.append((f"{day}-{n}", n, n, ts, day, length, int(n < clicked), 10.0, cvr))
        facts: dict[str, Any] = {
            "samples": 20,
            "clicked": clicked,
            "unlabelled": min(clicked, without),
            "mean_cvr": 0.5,
        }
        if profiles:
            facts["profile"] = {"nulls": {}, "ids": {}, **profiles[day]}
        records.append(Record("label", str(day), {}, facts))
    replace_days(spark.createDataFrame(rows, SAMPLES).coalesce(1), lake.uri(layout.SAMPLES), records)


@pytest.fixture
def job(lake: Lake, load_conf: Callable[..., Config]) -> Job:
    return Job(load_conf(FIELDS), lake, DAYS)


def test_the_bad_day_is_held_back_with_its_reasons(spark: SparkSession, job: Job) -> None:
    """The click rate is halved and a tenth of the lengths is missing, all within the fixed bands."""
    write_labelled(spark, job.lake, clicks={BAD: 5}, missing={BAD: 2})
    block_days(job, layout.SAMPLES)
    assert list(job.blocked) == [BAD]
    why = job.blocked[BAD]
    assert "clicked: each day's click rate is as the days before it let expect; found day 2022-04-11, found 0.25" in why
    assert "cvr: each day's share of clicked rows without a label is as the days before it let expect" in why
    assert "found 0.4, low 0, high 0.05" in why
    assert [str(day) for day in job.open_days] == ["2022-04-08", "2022-04-09", "2022-04-10", "2022-04-12"]
    page = Path(quality_page.uri(job.lake)).read_text()
    assert "1 of 5 days blocked" in page
    assert "<p>2022-04-11. Correct their logs" in page
    assert "25.0%, outside" in page
    assert "35.0% to 65.0%" in page
    gate(job, layout.SAMPLES)  # the others are good, together too


def test_days_that_are_good_hold_nothing_back(spark: SparkSession, job: Job) -> None:
    write_labelled(spark, job.lake, clicks={BAD: 9}, missing={})
    block_days(job, layout.SAMPLES)
    assert job.blocked == {}


def test_a_shift_warns_or_stops_as_configured(
    spark: SparkSession, job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scenes of one day come from elsewhere; what a day's profile says is all that the gate needs."""
    profiles = {
        day: {"histogram": {"scene": {"3": 100 if day != BAD else 0, "7": 0 if day != BAD else 100}}} for day in DAYS
    }
    write_labelled(spark, job.lake, clicks={}, missing={}, profiles=profiles)
    block_days(job, layout.SAMPLES)
    assert job.blocked == {}
    shown = capsys.readouterr().err
    assert "warning: (columns): each day's distribution (population stability index) is as the days before it" in shown
    assert f"found day {BAD}, name scene, found " in shown
    found = verdicts.newest_rows(job.lake)
    assert [found[layout.SAMPLES, str(day)].outcome for day in (DAYS.first, BAD)] == ["pass", "warn"]
    strict = replace(job, conf=job.conf.with_keys({"gates.learnt.warn": []}))
    block_days(strict, layout.SAMPLES)
    assert list(strict.blocked) == [BAD]
    assert verdicts.newest_rows(job.lake)[layout.SAMPLES, str(BAD)].outcome == "stop"


def test_the_page_shows_rows_at_fault_until_the_day_is_good(spark: SparkSession, job: Job) -> None:
    write_labelled(spark, job.lake, clicks={BAD: 10}, missing={BAD: 9})
    block_days(job, layout.SAMPLES)
    assert list(job.blocked) == [BAD]
    page = Path(quality_page.uri(job.lake))
    assert f"<code>{BAD}-0</code>" in page.read_text()  # the id of a clicked row without a length
    write_labelled(spark, job.lake, clicks={BAD: 10}, missing={})
    block_days(replace(job, blocked={}), layout.SAMPLES)
    assert f"{BAD}-0" not in page.read_text()
    assert "Every table passed its newest check" in page.read_text()


def test_what_is_no_days_fault_shuts_the_gate(spark: SparkSession, job: Job) -> None:
    job = replace(job, days=Days(DAYS.first, BAD - timedelta(days=2)))
    write_labelled(spark, job.lake, clicks=dict.fromkeys(DAYS, 20), missing={})
    write_users(spark, job.lake, [1, 1])
    with pytest.raises(GateError, match="no user_id comes twice"):
        block_days(job, layout.USERS)
    with pytest.raises(GateError, match=r"lies in \[0.05, 0.95\]"):
        block_days(job, layout.SAMPLES)
    assert job.blocked == {}
