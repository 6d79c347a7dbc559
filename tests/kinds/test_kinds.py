"""Each kind encodes values in Spark as without it, and says in one line what a column cannot give."""

import zlib
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import ArrayType, BinaryType, DataType, DoubleType, LongType, StringType

from ncs.config import Encode, Split
from ncs.errors import DataError
from ncs.features.encoding import build_vocabulary, check_columns, check_values, encode_days
from ncs.kinds import Buckets, Hashed, IdList, Number, Vector, Vocabulary
from ncs.kinds.base import ColumnFeature
from ncs.serving import Encoder
from ncs.tasks import named_tasks
from tests.factories import toy_conf

DAY = date(2022, 4, 8)
TASKS = named_tasks(toy_conf())
FEATURES: dict[str, ColumnFeature] = {
    "video": Vocabulary(side="video"),
    "price": Vocabulary(side="video"),
    "edges": Buckets(side="video", buckets=4),
    "music": Hashed(side="video", size=50),
    "tag": IdList(side="video", separator=",", length=3),
    "seen": IdList(side="user", length=2, table="video"),
    "standard": Number(side="user", scale="standard"),
    "log": Number(side="user", scale="log"),
    "quantile": Number(side="user", scale="quantile"),
    "plain": Number(side="user", scale="none"),
    "cover": Vector(side="video", length=2),
}
SCHEMA = (
    "impression_id string, day date, clicked int, cvr double, video long, price double, edges double, music string, "
    "tag string, seen array<bigint>, standard double, log int, quantile double, plain float, cover array<double>"
)
NAN, INF = float("nan"), float("inf")
ROWS: list[tuple[Any, ...]] = [
    # video, price, edges, music, tag, seen, standard, log, quantile, plain, cover
    (7, 1e-5, 1.0, "a", "39, 12", [7, 8], 2.0, 0, 0.0, 0.5, [1.0, -2.0]),
    (7, 65.0, 2.0, "b", "12", [9, 7, 8], 4.0, 99, 0.0, -1.5, [0.25, 0.0]),
    (8, 12345678.5, 3.0, "", ",12,,5,6,7", [], 6.0, -9, 5.0, NAN, None),
    (7, 0.1, None, None, None, None, None, None, 10.0, None, [1e-3, 3.0]),
    (9, NAN, NAN, "é", "", [None, 8], INF, 7, NAN, 3.0, [0.0, 0.0]),
    (None, None, 4.0, "a", "8", [100], 4.0, 2, -INF, INF, [5.0, 6.0]),
]


def samples(spark: SparkSession, rows: list[tuple[Any, ...]]) -> DataFrame:
    return spark.createDataFrame([(f"i{n}", DAY, 1, 0.5, *row) for n, row in enumerate(rows)], SCHEMA)


@pytest.fixture(scope="module")
def vocabulary(spark: SparkSession) -> DataFrame:
    return build_vocabulary(samples(spark, ROWS), FEATURES).rows.persist()


@pytest.fixture(scope="module")
def encoded(spark: SparkSession, vocabulary: DataFrame) -> dict[str, list[Any]]:
    split, layout = Split(test_days=1, validation=0.2), Encode(seed=1, rows_per_file=64)
    rows = encode_days(samples(spark, ROWS), vocabulary, FEATURES, split, layout, None, TASKS)
    kinds = dict(rows.dtypes)
    assert {kinds[name] for name in ("video", "edges", "music")} == {"int"}
    assert {kinds[name] for name in ("tag", "seen")} == {"array<int>"}
    assert {kinds[name] for name in ("standard", "plain")} == {"float"}
    assert kinds["cover"] == "array<float>"
    found = sorted(rows.collect(), key=lambda row: row.impression_id)
    return {name: [row[name] for row in found] for name in FEATURES}


def test_lists_are_the_ids_of_their_elements_padded_at_the_end(encoded: dict[str, list[Any]]) -> None:
    # Of tags, 12 comes in three rows, the others once, in the order of the text: 39, 5, 6, 8. A fourth is left out.
    assert encoded["tag"] == [[2, 1, -1], [1, -1, -1], [1, 3, 4], [-1] * 3, [-1] * 3, [5, -1, -1]]
    # The ids of `video`: 7 is 1, 8 and 9 come once; 100 is unknown.
    assert encoded["seen"] == [[1, 2], [3, 1], [-1, -1], [-1, -1], [2, -1], [0, -1]]
    assert encoded["video"] == [1, 1, 2, 1, 3, 0]


def test_hashed_ids_need_no_vocabulary(encoded: dict[str, list[Any]], vocabulary: DataFrame) -> None:
    expected = [
        zlib.crc32(text.encode()) % 50 + 1 if text is not None else 0 for text in ["a", "b", "", None, "é", "a"]
    ]
    assert encoded["music"] == expected
    assert vocabulary.where("field IN ('music', 'seen', 'cover', 'plain')").isEmpty()


def test_numbers_are_on_the_scale_of_the_training_rows(encoded: dict[str, list[Any]]) -> None:
    sound = np.array([2.0, 4.0, 6.0, 4.0])
    assert encoded["standard"][:3] == pytest.approx(((sound - sound.mean()) / sound.std())[:3], abs=1e-6)
    logs = np.array([np.sign(value) * np.log1p(abs(value)) for value in (0, 99, -9, 7, 2)])
    assert np.array(encoded["log"])[[0, 1, 2, 4, 5]] == pytest.approx((logs - logs.mean()) / logs.std(), abs=1e-6)
    # Of 0, 0, 5, 10: the percentiles up to the 33rd are 0, whose middle is -0.67; 5 is the 66.7th, 10 the last.
    assert encoded["quantile"][:4] == pytest.approx([-0.67, -0.67, 1 / 3, 1.0], abs=0.01)
    assert encoded["plain"][:2] == [0.5, -1.5]
    missing = {"standard": [3, 4], "log": [3], "quantile": [4, 5], "plain": [2, 3, 5]}
    assert {name: np.flatnonzero(np.isnan(encoded[name])).tolist() for name in missing} == missing


def test_a_missing_vector_is_zeros(encoded: dict[str, list[Any]]) -> None:
    assert encoded["cover"][:3] == [[1.0, -2.0], [0.25, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("as_arrow", [True, False])
def test_serving_encodes_as_spark_does(encoded: dict[str, list[Any]], vocabulary: DataFrame, as_arrow: bool) -> None:
    known = pa.Table.from_pylist([row.asDict() for row in vocabulary.collect()])
    encoder = Encoder(FEATURES, known)
    columns: dict[str, Any] = dict(zip(FEATURES, zip(*ROWS, strict=True), strict=True))
    if as_arrow:
        columns = {name: pa.array(values) for name, values in columns.items()}
    for name, expected in encoded.items():
        found = encoder.column(name, columns[name])
        dtype = found.dtype
        assert dtype in (np.int64, np.float32)
        np.testing.assert_array_equal(found, np.array(expected, dtype), err_msg=name)
    ids, numbers = encoder.inputs(columns)
    assert (ids.shape, numbers.shape) == ((6, 9), (6, 6))
    np.testing.assert_array_equal(ids[:, 4:7], encoded["tag"])
    np.testing.assert_array_equal(numbers[:, 4:], np.array(encoded["cover"], np.float32))
    with pytest.raises(DataError, match=r"^the request has no price; it has video; "):
        encoder.inputs({"video": [7]})


@pytest.mark.parametrize(
    ("kind", "dtype", "message"),
    [
        (Vocabulary(side="user"), ArrayType(LongType()), r"has lists \(array<bigint>\); encode: list"),
        (Vocabulary(side="user"), BinaryType(), "has bytes; write them as text"),
        (Buckets(side="user"), StringType(), "buckets need numbers, silver/samples has string; encode: vocabulary"),
        (Hashed(side="user", size=9), ArrayType(LongType()), r"has lists"),
        (IdList(side="user"), StringType(), "has string, no array; name what separates its elements"),
        (IdList(side="user", separator=","), ArrayType(LongType()), "has array<bigint>, which needs no separator"),
        (IdList(side="user"), DoubleType(), "has double, no list"),
        (
            Number(side="user"),
            StringType(),
            "a number needs numbers, silver/samples has string; encode: vocabulary, or",
        ),
        (Number(side="user"), ArrayType(DoubleType()), "a number needs numbers, silver/samples has array<double>"),
        (Vector(side="user", length=2), ArrayType(StringType()), "array of numbers, silver/samples has array<string>"),
        (Vector(side="user", length=2), DoubleType(), "a vector is an array of numbers, silver/samples has double"),
    ],
)
def test_a_column_of_another_type_is_one_line(kind: ColumnFeature, dtype: DataType, message: str) -> None:
    problem = kind.problem(dtype)
    assert problem is not None
    assert message.replace("\\", "") in problem
    assert len(problem.splitlines()) == 1


def test_what_the_samples_cannot_give_is_named_before_anything_is_written(spark: SparkSession) -> None:
    frame = samples(spark, [*ROWS, (7, 1.0, 1.0, "a", "1", [1], 1.0, 1, 1.0, 1.0, [1.0, 2.0, 3.0])])
    with pytest.raises(DataError, match=r"^fields\.tag: silver/samples has string, no array; .* separator: \",\"$"):
        check_columns(frame, {"tag": IdList(side="video")}, TASKS)
    with pytest.raises(
        DataError,
        match=r"^fields\.cover: silver/samples has impression i6 of 2022-04-08, whose cover has 3 numbers, "
        r"a vector has 2; correct it in the log, or leave cover out of fields$",
    ):
        check_values(frame, FEATURES)
    check_values(samples(spark, ROWS), FEATURES)


def test_serving_names_a_vector_of_another_length() -> None:
    encode = Vector(side="video", length=2).encoder("cover", [])
    with pytest.raises(DataError, match=r"^fields\.cover: row 1 has 3 numbers, a vector has 2$"):
        encode([[1.0, 2.0], [1.0, 2.0, 3.0]])
