"""A simulation's rows as lines of the paper's Table 3, and predictions beside what came of them."""

from datetime import datetime

import pytest

from ncs.evaluation.figures import calibration_errors, prediction_kinds, reliability
from ncs.evaluation.models import TABLE_3
from ncs.evaluation.rankings import by_day, newest, table
from ncs.tasks import named_tasks
from tests.evaluation.factories import ARMS, CONF, in_bins, simulated

ROWS = simulated(datetime(2026, 1, 2))


def test_the_newest_simulation_counts() -> None:
    assert newest([*simulated(datetime(2026, 1, 1), "older"), *ROWS]) == ROWS
    assert newest([]) == []


def test_lines_are_of_all_days_and_the_paper_s_figures_of_the_same_pair() -> None:
    lines = {line["arm"]: line for line in table(ROWS)}
    assert list(lines) == list(ARMS)
    first, second = list(lines.values())[:2]
    assert (first["test"], first["paired"]) == (None, None)
    assert second["users"] == 200
    assert second["paired"] == pytest.approx({"gain": 0.015, "low": 0.005, "high": 0.025})
    assert second["paper"] == TABLE_3["single_task", "connection_share"]
    assert [lines[arm]["paper"] for arm in ("A/A", "oracle", "random")] == [None] * 3
    assert second["title"] == ["2) single_task", "connection_share"]


def test_the_picture_is_of_the_models_alone() -> None:
    picture = by_day(ROWS)
    assert "2) single_task, connection_share" in picture
    assert "oracle" not in picture


def test_days_on_which_nobody_came_are_left_out_of_the_picture() -> None:
    empty = dict.fromkeys(("value", "test_gain", "test_low", "test_high", "paired_gain", "paired_low", "paired_high"))
    nobody = [row | (empty if row["day"] == 1 else {}) for row in ROWS]
    assert by_day(nobody)
    assert by_day([row | empty for row in ROWS])
    assert {line["paired"] for line in table([row | empty for row in ROWS])} == {None}


def test_the_calibration_error_is_the_distance_from_the_diagonal_by_rows() -> None:
    tasks = list(named_tasks(CONF).values())
    rows = in_bins("a", "ctr", (30_000, 0.2, 0.3), (10_000, 0.8, 0.6))
    found = prediction_kinds(tasks, rows)
    assert list(found) == ["pCTR"], "a task without bins has no picture"
    assert calibration_errors(found, ["a"], rows) == {"a": [pytest.approx((3 * 0.1 + 0.2) / 4, rel=1e-3)]}
    chance = in_bins("a", "ctr", (30, 0.29, 0.3), (10, 0.62, 0.6))
    assert calibration_errors(found, ["a"], chance) == {"a": [0.0]}, "no further than chance"
    assert len(reliability(found, ["a"], rows)) == 1
