"""Files as logs deliver them: Parquet is checked against a log's schema, and errors name the broken file."""

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import reduce

import pyarrow as pa
import pyarrow.parquet as pq
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_type
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DataType,
    NullType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from ncs.errors import DataError, NcsError, first_line, root_cause
from ncs.lake import storage
from ncs.lake.types import fits, wider
from ncs.logs.damage import plain, why_unreadable
from ncs.logs.schemas import LogSchema, bronze_type, check_unique_names

_SPARKS_CODECS = {"UNCOMPRESSED", "SNAPPY", "GZIP", "ZSTD", "LZ4"}
_KINDS = "a number, a text, a date, a time or a list of these, as Spark has them"
_FAILED = re.compile(r"\[FAILED_READ_FILE[^\]]*\] .*? file (.+?)\.\s+(?:SQLSTATE|Could not read footer)", re.DOTALL)

Columns = dict[str, tuple[DataType | None, str]]
"""Name -> its type in Spark (None if it has none, or one of structs or maps), and the type's name for messages."""


def read_parquet(spark: SparkSession, uris: Sequence[str], schema: LogSchema, what: str) -> DataFrame:
    """Rows of Parquet files, typed as bronze; types may be narrower than that, other columns keep theirs.

    Raises DataError naming the file and the column if a file is no whole Parquet file, lacks a column, has
    one of another type, or does not have the columns of its neighbours.
    """
    with ThreadPoolExecutor(8) as pool:  # a footer is one or two small reads, slow only for the distance
        footers = dict(zip(uris, pool.map(lambda uri: _columns(uri, what), uris), strict=True))
    groups: dict[str, tuple[StructType, list[str]]] = {}
    fixed, types = schema.types, schema.types
    for uri, columns in footers.items():
        where = f"{what}, {uri}"
        native = StructType()
        for name in schema.take(list(columns), where):
            dtype, label = columns[name]
            kept = dtype and bronze_type(dtype)
            before = types.get(name, kept)
            expected = before if name in fixed or not kept or not before else wider(before, kept)
            if not kept or not dtype or not expected or not fits(dtype, fixed.get(name, dtype)):
                wanted = before.simpleString() if before else _KINDS
                remedy = schema.remedy(name, "cast it where the log is written")
                raise DataError(f"{where}: column {name!r} is {label}, expected {wanted}; {remedy}")
            types[name] = expected
            native.add(name, dtype)
        first = next(iter(groups.values()))[0] if groups else native
        check_same_columns(native.names, first.names, where)
        groups.setdefault(native.json(), (native, []))[1].append(uri)
    cast = []
    for native, some in groups.values():
        read = spark.read.schema(StructType([column for column in native if not _is_void(column.dataType)]))
        values = [
            (F.lit(None) if _is_void(column.dataType) else F.col(column.name))
            .cast(types[column.name])
            .alias(column.name)
            for column in native
        ]
        cast.append(read.parquet(*map(spark_path, some)).select(*values))
    return reduce(DataFrame.unionByName, cast)


def check_same_columns(names: Sequence[str], first: Sequence[str], where: str) -> None:
    """Raise DataError if a file's columns are not those of the first file read with it."""
    for name in sorted(set(names) ^ set(first)):
        has, lacks = ("it", "its neighbours") if name in names else ("its neighbours", "it")
        raise DataError(f"{where}: column {name!r} is in {has}, not in {lacks}; files read together agree in columns")


def parquet_columns(uri: str, what: str) -> list[str]:
    """The names of a Parquet file's columns. Raises DataError if it has no footer that can be read."""
    return list(_columns(uri, what))


def spark_path(uri: str) -> str:
    """A path as Spark's readers want it: with the signs escaped that would make it a pattern."""
    return re.sub(r"([*?\[\]{}\\])", r"\\\1", uri)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Around whatever reads logs: any error that comes of it becomes a DataError that names the logs."""
    try:
        yield
    except NcsError:
        raise
    except Exception as err:
        reason, failed = root_cause(err), _FAILED.search(str(err))
        if failed and isinstance(err, PySparkException | Py4JJavaError):
            uri = plain(failed[1])
            raise DataError(f"{what}, {uri}: {why_unreadable(uri, reason)}") from err
        if isinstance(err, PySparkException) and err.getCondition() == "COLUMN_ALREADY_EXISTS":
            name = (err.getMessageParameters() or {}).get("columnName", "").strip("`")
            twice = f"a line has the key {name!r} twice (capitals do not count); write it once"
            raise DataError(f"{what}: {twice}") from err
        raise DataError(f"{what}: cannot be read, {type(err).__name__}: {reason}; fix and deliver them again") from err


def _is_void(dtype: DataType) -> bool:
    return isinstance(dtype, NullType)


def _columns(uri: str, what: str) -> Columns:
    try:
        with storage.open_file(uri) as file:
            parquet = pq.ParquetFile(file)
            arrow, columns = (
                parquet.schema_arrow,
                [parquet.schema.column(i) for i in range(len(parquet.schema))],
            )
            groups = map(parquet.metadata.row_group, range(parquet.metadata.num_row_groups))
            codecs = {group.column(i).compression for group in groups for i in range(group.num_columns)}
    except PermissionError as err:
        raise DataError(f"{what}, {uri}: cannot be read ({err.strerror}); let this user read it") from None
    except (pa.ArrowException, OSError) as err:
        raise DataError(f"{what}, {uri}: no whole Parquet file ({first_line(err)}); deliver it again") from None
    if unknown := sorted(codecs - _SPARKS_CODECS):
        raise DataError(
            f"{what}, {uri}: is compressed with {unknown[0]}, which Spark cannot read; write it with snappy or zstd"
        )
    check_unique_names(arrow.names, f"{what}, {uri}")
    int96 = {column.path for column in columns if column.physical_type == "INT96"}
    return {field.name: (_spark_type(field.type, field.name in int96), str(field.type)) for field in arrow}


def _spark_type(arrow: pa.DataType, int96: bool) -> DataType | None:
    if pa.types.is_dictionary(arrow):
        arrow = arrow.value_type
    if int96:  # Hadoop's old timestamp, which Arrow shows as nanoseconds without a zone
        return TimestampType()
    if pa.types.is_timestamp(arrow):
        if arrow.unit == "ns":
            return None
        return TimestampType() if arrow.tz else TimestampNTZType()
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow) or pa.types.is_fixed_size_list(arrow):
        element = _spark_type(arrow.value_type, False)
        # Lists that are all empty have elements of no type: no list has a value, as a column without any.
        return element if element is None or _is_void(element) else ArrayType(element)
    if pa.types.is_nested(arrow):
        return None
    if pa.types.is_string_view(arrow) or pa.types.is_binary_view(arrow):  # how Arrow holds them, not Parquet
        return StringType() if pa.types.is_string_view(arrow) else BinaryType()
    try:
        return from_arrow_type(arrow)
    except PySparkException:
        return None
