"""CSV and JSON lines: read as text, cast by column; a value that does not cast is refused by its place."""

import csv
import json
from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from io import TextIOWrapper
from itertools import islice

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StringType, StructType, TimestampType

from ncs.encodings import REPLACEMENT, UTF8, has_replacement, java_name
from ncs.errors import DataError
from ncs.lake import storage
from ncs.logs.damage import check_encoding, plain
from ncs.logs.files import check_same_columns, reading, spark_path
from ncs.logs.schemas import LogSchema, check_unique_names
from ncs.text import quoted

_LINES = 100
BAD = "#bad"
"""Column of `cast_columns`: file, column and value of the first value of a row that is not of its type."""

_BROKEN, _FILE, _REPLACED = "#broken", "#file", "#replaced"
_OWN = (_BROKEN, _FILE, _REPLACED)
_DECIMAL = r"^([-+]?((0|[1-9]\d*)(\.\d*|(?=[eE]))|\.\d+)([eE][-+]?\d+)?|[nN]a[nN])$"


def read_text(
    spark: SparkSession,
    extension: str,
    uris: Sequence[str],
    schema: LogSchema,
    what: str,
    numbers: bool,
    encoding: str = UTF8,
) -> DataFrame:
    """Rows of CSV files (with a header) or of JSON lines, typed as bronze; gzip is recognised by the name.

    Columns without a type of their own stay strings; with `numbers`, for tables that are read whole, they
    become numbers where all their values are. Raises DataError naming file, column, an example and the count, or the
    file and line of bytes that are none of the encoding.
    """
    try:
        texts = (read_csv if extension == "csv" else _read_json)(spark, uris, what, encoding)
        names = schema.take(text_columns(texts), f"{what}, {uris[0]}")
        rows = cast_columns(texts.select(*names, *_OWN), schema.types)
        check_bad(rows, schema, what, encoding)
    except DataError:
        check_encoding(uris, encoding, what)  # would be the cause of whatever else is wrong
        raise
    rows = rows.drop(BAD)
    return with_numbers(rows, [name for name in names if name not in schema.types], what) if numbers else rows


def read_csv(spark: SparkSession, uris: Sequence[str], what: str, encoding: str = UTF8) -> DataFrame:
    """All columns of CSV files as strings, matched by the names in each file's header, in whatever order."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for uri in uris:
        header = csv_header(uri, what, encoding)
        check_same_columns(header, next(iter(groups), header), f"{what}, {uri}")
        groups.setdefault(header, []).append(uri)
    parts = []
    for header, some in groups.items():
        reader = spark.read.schema(_strings([*header, _BROKEN])).option("columnNameOfCorruptRecord", _BROKEN)
        # Without pruning every line's number of values is seen; quotes are doubled, as RFC 4180 has it.
        reader = reader.option("columnPruning", False).option("escape", '"').option("encoding", java_name(encoding))
        parts.append(_with_file(reader.csv([spark_path(uri) for uri in some], header=True)))
    return reduce(DataFrame.unionByName, parts)


def text_columns(texts: DataFrame) -> list[str]:
    """The names that the files give to their columns."""
    return [name for name in texts.columns if name not in _OWN]


def cast_columns(texts: DataFrame, types: Mapping[str, DataType], filled: Collection[str] = ()) -> DataFrame:
    """Cast the columns of `types`; `#bad` is null on rows where all went well and no `filled` one is null."""
    bad = [_bad(F.col(_BROKEN).isNotNull(), "", F.col(_BROKEN))]
    columns = []
    for name in text_columns(texts):
        text = F.col(name)
        if name in types:
            cast = _cast(text, types[name])
            wrong = cast.isNull() if name in filled else cast.isNull() & text.isNotNull()
            bad.append(_bad(wrong, name, F.coalesce(text, F.lit(""))))
            columns.append(cast.alias(name))
        else:
            columns.append(text)
    bad.append(_bad(F.col(_REPLACED), _REPLACED, F.lit("")))
    return texts.select(*columns, F.coalesce(*bad).alias(BAD))


def check_bad(rows: DataFrame, schema: LogSchema, what: str, encoding: str = UTF8) -> None:
    """Raise DataError for the first column of `cast_columns` with a bad value. One pass over the rows."""
    bad = rows.where(F.col(BAD).isNotNull()).select(f"{BAD}.*")
    first, files = F.min(F.struct("file", "value")).alias("first"), F.collect_set("file").alias("files")
    bad = bad.groupBy("column").agg(F.count("*").alias("rows"), first, files)
    with reading(what):
        by_column = bad.orderBy("column").collect()
    check_encoding(sorted({plain(file) for row in by_column for file in row.files}), encoding, what)
    for row in by_column:
        where = f"{what}, {plain(row.first.file)}"
        if row.column == _REPLACED:
            if has_replacement(encoding):  # the log says so itself
                continue
            raise DataError(f"{where}: {row.rows} lines hold bytes that Java cannot read as {encoding}; write UTF-8")
        if not row.column:
            raise DataError(
                f"{where}: {row.rows} lines are not of the header's or of JSON's form, as {row.first.value!r}"
            )
        raise DataError(
            f"{where}: column {row.column!r} has {row.rows} values that are no "
            f"{schema.types[row.column].simpleString()}, as {row.first.value!r}; "
            f"{schema.remedy(row.column, 'correct the file')}"
        )


def with_numbers(rows: DataFrame, names: Sequence[str], what: str) -> DataFrame:
    """Make those columns numbers whose every value is one: bigint if all are whole, else double, NaN as null.

    "007", and whole numbers beyond bigint, are codes and stay text. One pass over the rows.
    """
    if not names:
        return rows
    whole = {
        name: F.coalesce(F.col(name).try_cast("bigint").cast("string") == F.col(name), F.lit(False)) for name in names
    }
    tests = [
        F.bool_and(F.when(F.col(name).isNotNull(), test)).alias(alias)
        for name, is_whole in whole.items()
        for alias, test in ((name, is_whole), (f"{name}#", is_whole | F.col(name).rlike(_DECIMAL)))
    ]
    with reading(what):
        is_number = rows.agg(*tests).first()
    assert is_number is not None
    longs = {name: F.col(name).cast("bigint") for name in names if is_number[name]}
    doubles = {name: F.col(name).cast("double") for name in names if is_number[f"{name}#"] and not is_number[name]}
    return rows.withColumns({**longs, **{name: F.when(~F.isnan(value), value) for name, value in doubles.items()}})


def _bad(condition: Column, name: str, value: Column) -> Column:
    place = F.struct(F.col(_FILE).alias("file"), F.lit(name).alias("column"), value.alias("value"))
    return F.when(condition, place)


def _cast(text: Column, dtype: DataType) -> Column:
    if isinstance(dtype, TimestampType):  # a cast alone takes "2022" for a year and "12:30" for today
        return F.when(text.rlike(r"^\d{4}-\d{2}-\d{2}"), text.try_cast(dtype))
    return text.try_cast(dtype)


def csv_header(uri: str, what: str, encoding: str = UTF8) -> tuple[str, ...]:
    """The names of a CSV file's columns. Raises DataError if it has no header line, or one that cannot be read."""
    try:
        with storage.open_file(uri, compression="infer") as file:
            # Bytes that are none of the encoding may stand anywhere in what is read ahead: only the line itself counts.
            codec = "utf-8-sig" if encoding == UTF8 else encoding
            text = TextIOWrapper(file, encoding=codec, errors="surrogateescape", newline="")
            line = next(csv.reader(text), [])
    except PermissionError as err:
        raise DataError(f"{what}, {uri}: cannot be read ({err.strerror}); let this user read it") from None
    except (OSError, EOFError, csv.Error) as err:
        raise DataError(f"{what}, {uri}: no header line can be read ({err}); deliver the file again") from None
    if any("\udc80" <= sign <= "\udcff" for name in line for sign in name):
        check_encoding([uri], encoding, what)
    if not line:
        raise DataError(f"{what}, {uri}: empty, without even a header line; deliver the file again")
    check_unique_names(line, f"{what}, {uri}")
    return tuple(line)


def json_keys(uri: str, encoding: str = UTF8) -> list[str]:
    """The keys of the first lines of JSON in a file; none where it cannot be read, which is found out later."""
    keys: dict[str, None] = {}
    try:
        with storage.open_file(uri, compression="infer") as file:
            for line in islice(file, _LINES):
                row = json.loads(line.decode(encoding))
                keys |= dict.fromkeys(row) if isinstance(row, dict) else {}
    except (OSError, EOFError, ValueError, RecursionError):
        pass
    return list(keys)


def _read_json(spark: SparkSession, uris: Sequence[str], what: str, encoding: str = UTF8) -> DataFrame:
    paths = [spark_path(uri) for uri in uris]
    reader = spark.read.option("columnNameOfCorruptRecord", _BROKEN)
    if encoding != UTF8:
        reader = reader.option("encoding", java_name(encoding)).option("lineSep", "\n")
    with reading(what):
        fields = reader.option("primitivesAsString", True).json(paths).schema.fields
    names = [field.name for field in fields if field.name != _BROKEN]
    if not names:
        raise DataError(f"{what}, {uris[0]}: no line of it is a JSON object; write a row a line, as {{...}}")
    nested = [field.name for field in fields if field.dataType != StringType()]
    if nested:
        raise DataError(f"{what}, {uris[0]}: column {nested[0]!r} is nested; write it as text, or the log as Parquet")
    return _with_file(reader.schema(_strings([*names, _BROKEN])).json(paths))


def _with_file(texts: DataFrame) -> DataFrame:
    """The rows with the file that each is of, and whether a decoder has put a replacement for bytes in it."""
    replaced = reduce(Column.__or__, (texts[quoted(name)].contains(REPLACEMENT) for name in texts.columns))
    flag = F.coalesce(replaced, F.lit(False)).alias(_REPLACED)
    return texts.select("*", F.col("_metadata.file_path").alias(_FILE), flag)


def _strings(names: Sequence[str]) -> StructType:
    schema = StructType()
    for name in names:
        schema.add(name, StringType())
    return schema
