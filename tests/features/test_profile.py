"""What a day's profile says of its columns."""

import json
from datetime import date, datetime
from typing import Any

from pyspark.sql import SparkSession

from ncs.features.profile import profile_days

DAYS = (date(2022, 4, 8), date(2022, 4, 9))


def samples(spark: SparkSession) -> Any:
    """20 rows a day of 10 users; a quarter of the first day's scenes is missing, lengths are 1 to 20 seconds."""
    rows = []
    for day in DAYS:
        for n in range(20):
            scene = None if n < 5 and day == DAYS[0] else "feed" if n % 2 else "search"
            ts = datetime(day.year, day.month, day.day, 12)
            rows.append((f"{day}-{n}", n % 10, n, ts, day, scene, float(n + 1), 0, 0.0, None))
    schema = (
        "impression_id string, user_id bigint, video_id bigint, ts timestamp, day date, scene string, "
        "length_seconds double, clicked int, watched_seconds double, cvr double"
    )
    return spark.createDataFrame(rows, schema)


def test_a_profile_counts_what_is_missing_how_values_are_distributed_and_which_ids_come(spark: SparkSession) -> None:
    first, second = profile_days(samples(spark), dict.fromkeys(DAYS, 20)).values()
    assert first["nulls"] == {"scene": 0.25, "length_seconds": 0.0}
    assert second["nulls"]["scene"] == 0.0
    assert sorted(first["histogram"]["scene"].values()) == [7, 8]
    assert list(second["quantiles"]) == ["length_seconds"]
    lengths = second["quantiles"]["length_seconds"]
    assert lengths["rows"] == 20
    assert lengths["values"] == [float(max(1, -(-step * 20 // 100))) for step in range(101)]
    assert len(first["ids"]["user_id"]["seen"]) == 10
    assert first["ids"]["user_id"] == second["ids"]["user_id"]


def test_a_large_day_is_sampled(spark: SparkSession) -> None:
    found = profile_days(samples(spark), dict.fromkeys(DAYS, 4000))[DAYS[0]]  # as if: an eighth of the ids
    assert found["ids"]["video_id"]["below"] == 2**32 // 8
    assert all(seen < 2**32 // 8 for seen in found["ids"]["video_id"]["seen"])
    assert len(found["ids"]["video_id"]["seen"]) < 10


def test_numbers_of_every_type_have_quantiles(spark: SparkSession) -> None:
    """NaN is missing, infinities are the ends of the numbers, a column without a value has no distribution."""
    frame = samples(spark).selectExpr(
        "*",
        "CASE WHEN video_id < 5 THEN double('NaN') WHEN video_id < 7 THEN double('-Infinity') ELSE -1.25 END AS odd",
        "CAST(video_id / 4 AS decimal(10, 2)) AS price",
        "CAST(NULL AS double) AS empty",
        "video_id % 2 = 0 AS even",
    )
    first = profile_days(frame, dict.fromkeys(DAYS, 20))[DAYS[0]]
    assert (first["nulls"]["odd"], first["nulls"]["empty"]) == (0.25, 1.0)
    odd = first["quantiles"]["odd"]
    assert (odd["rows"], odd["values"][0], odd["values"][-1]) == (15, -1.79769313e308, -1.25)
    assert first["quantiles"]["price"]["values"][-1] == 4.75
    assert first["histogram"]["empty"] == {}
    assert sorted(first["histogram"]["even"].values()) == [10, 10]
    assert json.loads(json.dumps(first, allow_nan=False)) == first
