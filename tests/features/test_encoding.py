"""The vocabulary learns from what it is given alone; encoding is exact, seeded and shuffled."""

from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncs.config import Encode, Split
from ncs.errors import DataError
from ncs.features.encoding import build_vocabulary, check_columns, encode_days, label_column
from ncs.features.split import LateRows, late_rows
from ncs.kinds import Buckets, Vocabulary
from ncs.tasks import named_tasks
from tests.factories import toy_conf

DAY = date(2022, 4, 8)
FIELDS = {
    "user_id": Vocabulary(side="user", min_count=2),
    "scene": Vocabulary(side="context"),
    "length_seconds": Buckets(side="video", buckets=4),
}
TASKS = named_tasks(toy_conf())
SPLIT = Split(test_days=1, validation=0.2)
LAYOUT = Encode(seed=1, rows_per_file=64)
SCHEMA = "impression_id string, day date, user_id long, scene string, length_seconds double, clicked int, cvr double"


def samples(spark: SparkSession, rows: list[tuple]) -> DataFrame:
    return spark.createDataFrame([(f"i{n}", DAY, *row) for n, row in enumerate(rows)], SCHEMA)


@pytest.fixture(scope="module")
def training(spark: SparkSession) -> DataFrame:
    rows: list[tuple] = [(5, "feed", 10.0, 1, 0.5), (5, "feed", 20.0, 0, None), (5, None, 30.0, 0, None)]
    rows += [(7, "search", 40.0, 1, 1.0), (7, "feed", None, 1, None), (9, "feed", float("nan"), 0, None)]
    return samples(spark, rows).persist()


@pytest.fixture(scope="module")
def vocabulary(training: DataFrame) -> DataFrame:
    return build_vocabulary(training, FIELDS).rows.persist()


def test_ids_count_from_1_by_falling_frequency_and_rare_values_have_none(vocabulary: DataFrame) -> None:
    rows = {
        (row.field, row.value): (row.id, row["count"])
        for row in vocabulary.where("field != 'length_seconds'").collect()
    }
    assert rows == {
        ("user_id", "5"): (1, 3),
        ("user_id", "7"): (2, 2),
        ("scene", "feed"): (1, 4),
        ("scene", "search"): (2, 1),
    }


def test_bucket_edges_are_training_quantiles(vocabulary: DataFrame) -> None:
    rows = vocabulary.where("field = 'length_seconds'").orderBy("id").collect()
    assert [(row.id, row.value, row["count"]) for row in rows] == [
        (1, "-inf", 1),
        (2, "17.5", 1),
        (3, "25.0", 1),
        (4, "32.5", 1),
    ]


def test_values_become_their_ids_and_what_is_unknown_becomes_0(spark: SparkSession, vocabulary: DataFrame) -> None:
    rows: list[tuple] = [
        (5, "feed", 25.0, 1, 0.25),
        (9, "search", 24.9, 0, None),  # user 9 is rare
        (8, "new", -3.0, 0, None),
        (None, None, None, 0, None),
        (7, "feed", 1e9, 1, None),
    ]
    day = encode_days(samples(spark, rows), vocabulary, FIELDS, SPLIT, LAYOUT, None, TASKS)
    found = {row.impression_id: row for row in day.collect()}
    assert [(found[f"i{n}"].user_id, found[f"i{n}"].scene, found[f"i{n}"].length_seconds) for n in range(5)] == [
        (1, 1, 3),
        (0, 2, 2),
        (0, 0, 1),
        (0, 0, 0),
        (2, 1, 4),
    ]
    assert found["i0"].asDict() | {"user_id": 1} == {
        "impression_id": "i0", "day": DAY, "split": found["i0"].split, "day_number": 19090, "user_id": 1, "scene": 1,
        "length_seconds": 3, "clicked": 1.0, "cvr": 0.25,
    }  # fmt: skip
    assert dict(day.dtypes)["user_id"] == "int"


def test_the_split_hangs_on_the_impression_alone_and_has_its_share(spark: SparkSession, vocabulary: DataFrame) -> None:
    many = samples(spark, [(5, "feed", 1.0, 0, None)] * 4000)
    day = encode_days(many, vocabulary, FIELDS, SPLIT, LAYOUT, None, TASKS)
    split = {row.impression_id: row.split for row in day.collect()}
    share = Counter(split.values())["validation"] / 4000
    assert set(split.values()) == {"train", "validation"}
    assert share == pytest.approx(0.2, abs=0.025)
    other = encode_days(many.limit(500).repartition(3), vocabulary, FIELDS, SPLIT, LAYOUT, None, TASKS)
    assert all(split[row.impression_id] == row.split for row in other.collect())


def test_late_rows_of_the_last_training_day_are_validation(spark: SparkSession, vocabulary: DataFrame) -> None:
    conf = toy_conf("split.validation=6 hours", "logs.timezone=Asia/Shanghai")
    late = late_rows(conf)
    assert late == LateRows(date(2022, 4, 9), datetime(2022, 4, 9, 10, tzinfo=UTC)), "six hours before 16:00 UTC"
    rows = samples(spark, [(5, "feed", 1.0, 0, None)] * 3).withColumn("day", F.lit(late.day))
    hours = F.element_at(F.array(F.lit(9), F.lit(10), F.lit(15)), F.substring("impression_id", 2, 1).cast("int") + 1)
    rows = rows.withColumn("ts", F.make_timestamp(F.lit(2022), F.lit(4), F.lit(9), hours, F.lit(0), F.lit(0)))
    encoded = encode_days(rows, vocabulary, FIELDS, conf.split, LAYOUT, late, TASKS)
    split = {row.impression_id: row.split for row in encoded.collect()}
    assert split == {"i0": "train", "i1": "validation", "i2": "validation"}


def test_rows_of_a_day_are_shuffled_by_the_seed(spark: SparkSession, vocabulary: DataFrame) -> None:
    many = samples(spark, [(5, "feed", float(n), 0, None) for n in range(500)]).coalesce(1)

    def order(seed: int) -> list[str]:
        layout = Encode(seed=seed, rows_per_file=64)
        day = encode_days(many, vocabulary, FIELDS, SPLIT, layout, None, TASKS)
        return [row.impression_id for row in day.select("impression_id").collect()]

    assert order(1) == order(1) != order(2)
    assert sorted(order(1)) != order(1)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (
            ("nowhere", Vocabulary(side="user")),
            r"fields\.nowhere: silver/samples has no such column",
        ),
        (
            ("scene", Buckets(side="user")),
            r"fields\.scene: buckets need numbers, .* has string",
        ),
    ],
)
def test_fields_that_the_samples_lack_are_named(training: DataFrame, field: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_columns(training, dict([field]), TASKS)


def of_task(**keys: Any) -> Any:
    values = ", ".join(f"{key}: {value!r}" for key, value in keys.items())
    return named_tasks(toy_conf(f"tasks.finish={{{values}, loss: cross_entropy, metric: auc}}"))


def test_a_further_task_has_a_label_where_its_condition_holds(spark: SparkSession, vocabulary: DataFrame) -> None:
    rows: list[tuple] = [(5, "feed", 9.0, 1, 0.96), (5, "feed", 0.0, 1, 0.2), (5, "feed", 9.0, 0, None)]
    rows.append((5, "feed", 0.0, 1, float("nan")))
    given = samples(spark, rows)
    tasks = of_task(label="cast(cvr >= 0.95 as float)")
    check_columns(given, FIELDS, tasks)
    day = encode_days(given, vocabulary, FIELDS, SPLIT, LAYOUT, None, tasks)
    assert dict(day.dtypes)["finish"] == "float"
    found = {row.impression_id: (row.clicked, row.cvr, row.finish) for row in day.collect()}
    assert found["i0"] == (1.0, pytest.approx(0.96), 1.0)
    assert found["i1"] == (1.0, pytest.approx(0.2), 0.0)
    assert str(found["i2"]) == "(0.0, nan, nan)"
    assert str(found["i3"]) == "(1.0, nan, 1.0)", "to Spark NaN is the largest number"
    # Where the condition does not hold, the label is not computed: this one would divide by 0.
    tasks = of_task(label="10 / length_seconds", where="length_seconds > 0")
    labels = given.select("impression_id", label_column(tasks["finish"]).alias("label")).collect()
    assert {row.impression_id: row.label for row in labels} == {
        "i0": pytest.approx(10 / 9), "i1": None, "i2": pytest.approx(10 / 9), "i3": None,
    }  # fmt: skip


def test_a_label_whose_column_is_taken_is_kept_under_the_task_s_name(training: DataFrame) -> None:
    assert (of_task(label="clicked")["finish"].label, of_task(label="like")["finish"].label) == ("finish", "like")
    assert TASKS["ctr"].label == "clicked"
    with pytest.raises(DataError, match=r"tasks\.cvr: its label would be kept in a column cvr, .* another name"):
        check_columns(training, {"cvr": Buckets(side="context")}, TASKS)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"label": "cast(finished as float)"},
            r"^tasks\.finish\.label: 'CAST\(finished AS FLOAT\)' names finished, silver/samples has no such column; "
            r"it has clicked, cvr, day, impression_id, length_seconds, scene, user_id$",
        ),
        ({"label": "nowhere"}, r"^tasks\.finish\.label: 'nowhere' names nowhere, silver/samples has no such column"),
        ({"label": "round(cvr, 1, 2)"}, r"^tasks\.finish\.label: 'ROUND\(cvr, 1, 2\)' is no SQL expression of silver/"),
        (
            {"label": "upper(scene)"},
            r"^tasks\.finish\.label: a label is a number within \[0, 1\], 'UPPER\(scene\)' is string; ",
        ),
        ({"label": "cvr", "where": "clickd = 1"}, r"^tasks\.finish\.where: 'clickd = 1' names clickd, .*has no such"),
        ({"label": "cvr", "where": "clicked"}, r"^tasks\.finish\.where: 'clicked' is int, no condition; "),
    ],
)
def test_labels_that_the_samples_cannot_give_are_one_line(training: DataFrame, keys: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        check_columns(training, FIELDS, of_task(**keys))
    assert len(str(caught.value).splitlines()) == 1
