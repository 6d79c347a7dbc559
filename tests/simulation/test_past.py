"""What a simulation knows of the logs' last days: sums and lists counted by hand."""

import math
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pytest

from ncs.lake import layout
from ncs.lake.layout import Lake
from ncs.simulation.past import Past
from tests.factories import toy_conf, write_day

CONF = toy_conf(
    "fields={user_id: {side: user, encode: vocabulary}, video_id: {side: video, encode: vocabulary}}",
    "statistics=[{by: [user_id], of: [clicked, cvr, impressions], days: 2, smoothing: 2},"
    " {by: [user_id, kind], of: [clicked], days: 1, smoothing: 0},"
    " {by: [user_id], of: [watched_seconds], days: 3, half_life: 1}]",
    "history={clicked: {of: [video_id], where: clicked, last: 2, days: 2}}",
)
# day, group, key, impressions, clicks, labelled, cvr, watched_seconds; the logs end on 2022-04-10
SUMS = [
    (8, "*", "*", 100, 90, 90, 81.0, 9.0),
    (8, "user_id", "7", 50, 50, 50, 50.0, 8.0),
    (9, "*", "*", 10, 4, 4, 2.0, 40.0),
    (9, "user_id", "7", 2, 2, 1, 1.0, 4.0),
    (10, "*", "*", 10, 6, 4, 2.0, 60.0),
    (10, "user_id", "7", 4, 1, 1, 0.5, 2.0),
    (10, "user_id,kind", '["7","a \\"b\\""]', 5, 1, 1, 0.5, 2.0),
]
ROWS = [
    # day, hour, user, video, clicked
    (8, 9, 7, 80, True),
    (9, 9, 7, 91, True),
    (9, 10, 7, 92, False),
    (10, 8, 7, 101, True),
    (10, 9, 7, 102, True),
    (10, 9, 8, 103, False),
]


@pytest.fixture
def past(lake: Lake) -> Past:
    names = ["group", "key", "impressions", "clicks", "labelled", "cvr", "watched_seconds"]
    for day in (8, 9, 10):
        sums = [dict(zip(names, row[1:], strict=True)) for row in SUMS if row[0] == day]
        write_day(lake, layout.DAILY_STATISTICS, pa.Table.from_pylist(sums), date(2022, 4, day))
        rows = [
            {
                "user_id": user,
                "video_id": video,
                "ts": datetime(2022, 4, day, hour),
                "impression_id": str(video),
                "clicked": clicked,
                "watched_seconds": 1.0 if clicked else None,
            }
            for of, hour, user, video, clicked in ROWS
            if of == day
        ]
        write_day(lake, layout.SAMPLES, pa.Table.from_pylist(rows), date(2022, 4, day))
    return Past(lake, CONF)


def test_statistics_are_of_the_last_days_and_smoothed_to_all_rows(past: Past) -> None:
    columns = {"user_id": np.array([7, 8, 7]), "kind": np.array(['a "b"', "c", "c"])}
    found = past.statistics(columns)
    assert set(found) == set(past.names) - {"clicked_video_id"}
    click_rate, mean_cvr = 10 / 20, 4 / 8
    assert found["user_id_clicked_2d"].tolist() == pytest.approx([(3 + 2 * click_rate) / 8, click_rate, 4 / 8])
    assert found["user_id_cvr_2d"].tolist() == pytest.approx([(1.5 + 2 * mean_cvr) / 4, mean_cvr, 2.5 / 4])
    assert found["user_id_impressions_2d"].tolist() == pytest.approx([math.log1p(6), 0, math.log1p(6)])
    by_both = found["user_id_kind_clicked_1d"]
    assert by_both[0] == pytest.approx(1 / 5)
    assert np.isnan(by_both[1:]).all(), "without smoothing and rows there is no rate"
    decayed = found["user_id_watched_seconds_3d_half_life_1"]
    assert decayed[0] == pytest.approx(math.log1p(2 + 4 / 2 + 8 / 4))


def test_histories_are_the_latest_that_were_clicked_newest_first(past: Past) -> None:
    assert past.histories(np.array([8, 7, 9])) == {"clicked_video_id": [[], [102, 101], []]}
