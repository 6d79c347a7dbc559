"""Names of columns: those that no log can use, and clashes between logs."""

import pytest

from ncs.config.checks import KEYS
from ncs.errors import DataError
from ncs.logs.names import RESERVED, SampleColumns, check_name


@pytest.mark.parametrize("name", ["_change_type", "_CHANGE_TYPE", "_Commit_Version", "_metadata", "__delta_x", "Cvr"])
def test_names_of_others_are_refused_in_any_case(name: str) -> None:
    with pytest.raises(DataError, match=rf"users, a\.csv: column '{name}' bears a name that .*; rename it"):
        check_name(name, ["user_id"], "users, a.csv")


def test_the_columns_that_later_stages_add_are_reserved() -> None:
    from ncs.evaluation.parts import HISTORIES
    from ncs.labels.join import LABEL_COLUMNS, SAMPLE_COLUMNS

    added = {*KEYS, *LABEL_COLUMNS, *HISTORIES} - {*SAMPLE_COLUMNS, "length_seconds"}
    assert added <= RESERVED.keys()


@pytest.mark.parametrize("name", ["class", "_device", "select", "model", "label", "x" * 300, "__index_level_0__"])
def test_other_names_are_taken(name: str) -> None:
    check_name(name, ["user_id"], "users")


def test_a_typed_column_has_one_spelling() -> None:
    with pytest.raises(DataError, match="column 'Position' differs from 'position' in case alone; rename it to"):
        check_name("Position", ["position"], "impressions")


@pytest.mark.parametrize(
    ("log", "columns", "message"),
    [
        ("videos", ["video_id", "City"], "'City' stands in users too as 'city'.* rename it where videos are written"),
        ("impressions", ["impression_id", "CITY"], "'CITY' stands in users too as 'city'"),
        ("impressions", ["impression_id", "Scene"], "'Scene' is 'scene' elsewhere in impressions"),
        ("impressions", ["impression_id", "Length_Seconds"], "'Length_Seconds' stands in videos too as"),
        ("users", ["user_id", "length_seconds"], "'length_seconds' stands in videos too,"),
        ("videos", ["video_id", "user_id"], "'user_id' stands in impressions too,"),
        ("users", ["user_id", "day"], "'day' stands in impressions too,"),
    ],
)
def test_samples_have_each_column_of_one_log(log: str, columns: list[str], message: str) -> None:
    names = SampleColumns()
    names.add("users", ["user_id", "city", "updated_at"], "users")
    names.add("videos", ["video_id", "length_seconds", "updated_at"], "videos")
    names.add("impressions", ["impression_id", "user_id", "video_id", "ts", "scene", "updated_at"], "a day")
    names.add("impressions", ["impression_id", "length_seconds", "scene"], "its own length wins over the video's")
    names.add("clicks", ["impression_id", "ts", "city"], "no column of a click is a sample's")
    with pytest.raises(DataError, match=f"that day: column {message}"):
        names.add(log, columns, "that day")
