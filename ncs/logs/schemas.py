"""The columns of raw logs, as the bronze tables hold them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    ByteType,
    DataType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    NullType,
    ShortType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from ncs.errors import DataError
from ncs.lake.columns import UPDATED_AT
from ncs.lake.types import MAX_DIGITS, beyond, common, fits, wider
from ncs.logs.names import check_name

DAY_LOGS = ("impressions", "clicks", "plays")
PROFILES = {"users": "user_id", "videos": "video_id"}
"""The logs that know no days, and the key that their rows are of."""

_STRING, _INT, _LONG, _DOUBLE, _TIME = StringType(), IntegerType(), LongType(), DoubleType(), TimestampType()
_ACCEPTED: dict[type[DataType], DataType | None] = {
    **dict.fromkeys((BooleanType, ByteType, ShortType, IntegerType, LongType, FloatType, DoubleType, DecimalType)),
    **dict.fromkeys((StringType, BinaryType, DateType, TimestampType)),
    TimestampNTZType: _TIME,  # a time without a zone is UTC
    NullType: _STRING,  # a column without any value has had no type yet: any will do later (`ncs.lake.types.common`)
}
"""The types that a column of a log may have, and the type in bronze where that is another."""


@dataclass(frozen=True)
class LogSchema:
    """The typed columns of one log, and whether others come along (as context, profile or item columns)."""

    required: Mapping[str, DataType]
    optional: Mapping[str, DataType] = field(default_factory=dict)
    others: bool = False

    def remedy(self, name: str, otherwise: str) -> str:
        """The remedy for a column whose values are not of its type."""
        if not self.others or self.required.get(name) != _LONG:
            return otherwise
        return f"{otherwise} or, if they are no numbers, name it in logs.text_ids"

    @property
    def types(self) -> dict[str, DataType]:
        """Every column that has a fixed type."""
        return {**self.required, **self.optional}

    def with_texts(self, names: Sequence[str]) -> "LogSchema":
        """The schema of a log in which the required columns of these names are texts (`logs.text_ids`)."""
        return replace(self, required=dict(self.required) | {name: _STRING for name in names if name in self.required})

    def take(self, columns: Sequence[str], where: str) -> list[str]:
        """Which of the found columns go into bronze, in their order.

        A column called `day` is left out: the folder says the day. Raises DataError, which begins with
        `where`, for a column that is missing, stands twice, or has a name that cannot be used.
        """
        for name in self.required:
            if name not in columns:
                raise DataError(
                    f"{where}: no column {name!r}; expected {', '.join(self.required)}, found "
                    f"{', '.join(columns) or 'none'}. Add or rename it where the log is written"
                )
        check_unique_names(columns, where)
        if not self.others:
            return [name for name in columns if name in self.types]
        taken = [name for name in columns if name.lower() != "day"]
        for name in taken:
            check_name(name, self.types, where)
        return taken


_VERSIONS = (UPDATED_AT, "ts")
"""Names that users and videos may give to the time from which a row holds; bronze uses the first."""

SCHEMAS = {
    "impressions": LogSchema(
        {"impression_id": _STRING, "user_id": _LONG, "video_id": _LONG, "ts": _TIME},
        {"position": _INT, "length_seconds": _DOUBLE},
        others=True,
    ),
    "clicks": LogSchema({"impression_id": _STRING, "ts": _TIME}),
    "plays": LogSchema({"impression_id": _STRING, "ts": _TIME, "watched_seconds": _DOUBLE}),
    "users": LogSchema({"user_id": _LONG}, dict.fromkeys(_VERSIONS, _TIME), others=True),
    "videos": LogSchema(
        {"video_id": _LONG}, {"length_seconds": _DOUBLE, **dict.fromkeys(_VERSIONS, _TIME)}, others=True
    ),
}
"""The columns of each log in bronze, without the `day` of the day logs. Times are UTC."""


def with_numbers_of_texts(rows: DataFrame, names: Sequence[str]) -> DataFrame:
    """Rows whose columns of these names hold the numbers of their texts (`ncs.text_ids`), or lists of such numbers.

    Ids that all look like numbers are texts all the same.
    """
    for name in set(names) & set(rows.columns):
        if isinstance(rows.schema[name].dataType, ArrayType):
            rows = rows.withColumn(name, F.transform(F.col(name).cast("array<string>"), _number_of))
        else:
            rows = rows.withColumn(name, _number_of(F.col(name).cast("string")))
    return rows


def _number_of(text: Column) -> Column:
    """`ncs.text_ids.hash_text`; an empty text is none."""
    digits = F.substring(F.sha2(text, 256), 1, 16)
    return F.when(text != "", F.conv(digits, 16, -10).cast("bigint"))


def check_unique_names(names: Sequence[str], where: str) -> None:
    """Raise DataError, which begins with `where`, if two columns have one name, capitals aside, as Spark sees it."""
    for name, count in Counter(name.lower() for name in names).items():
        if count > 1:
            raise DataError(f"{where}: column {name!r} stands there twice (capitals do not count); drop one")


def bronze_type(dtype: DataType) -> DataType | None:
    """The type in bronze of a log's column that has none fixed by its `LogSchema`; None: it cannot be kept there."""
    if isinstance(dtype, ArrayType):  # lists of values, for encode: list and encode: vector
        element = bronze_type(dtype.elementType)
        return None if element is None or isinstance(element, ArrayType) else ArrayType(element)
    if type(dtype) not in _ACCEPTED:
        return None
    if isinstance(dtype, DecimalType) and not 0 <= dtype.scale <= dtype.precision <= MAX_DIGITS:
        return None
    return _ACCEPTED[type(dtype)] or dtype


def as_types(rows: DataFrame, kept: DataFrame, what: str, where: str) -> DataFrame:
    """Rows that can stand beside those kept of `where`, a table: with its types, or wider ones that it will take too.

    New columns stay as they are. Raises DataError, which begins with `what`, for a column of another kind.
    """
    types = {column.name: column.dataType for column in kept.schema}
    casts: dict[str, DataType] = {}
    for column in rows.schema:
        name, dtype = column.name, column.dataType
        if name not in types:
            continue
        both = types[name] if fits(dtype, types[name]) else common(name, kept, rows, text=False)
        if both is None:
            raise DataError(f"{what}: column {name!r} {_difference(rows, kept, name, where)}, or rename it")
        casts[name] = both
    return rows.select(*[F.col(name).cast(casts[name]) if name in casts else name for name in rows.columns])


def retyped(before: StructType, now: StructType) -> Iterator[str]:
    """Which columns are of another kind than before: those of profiles may be, which are replaced whole."""
    for column in now:
        was = before[column.name].dataType if column.name in before.names else column.dataType
        if wider(was, column.dataType) is None:
            yield f"column {column.name!r} is {column.dataType.simpleString()} now, it was {was.simpleString()}"


def _difference(rows: DataFrame, kept: DataFrame, name: str, where: str) -> str:
    after, before = rows.schema[name].dataType, kept.schema[name].dataType
    text = f"is {after.simpleString()}, in {where} it is {before.simpleString()}"
    wide = wider(before, after)
    long = wide and (beyond(kept, name, wide) or beyond(rows, name, wide))
    if long:
        return f"{text} with values like {long}, which a double would round; write it as bigint or text"
    return f"{text}; cast it where the log is written"


def stack(parts: Mapping[str, DataFrame]) -> DataFrame:
    """Days on top of each other, by what they are called; a column that a day lacks is null there."""
    types: dict[str, DataType] = {}
    for what, rows in parts.items():
        for column in rows.schema:
            before = types.setdefault(column.name, column.dataType)
            if fits(before, column.dataType):
                types[column.name] = column.dataType
            elif not fits(column.dataType, before):  # it may still fit, but not by its type alone
                raise DataError(
                    f"{what}: column {column.name!r} is {column.dataType.simpleString()}, in the days before it is "
                    f"{before.simpleString()}; cast it where the log is written"
                )
    stacked = [rows.select(*[F.col(name).cast(types[name]) for name in rows.columns]) for rows in parts.values()]
    return reduce(lambda above, below: above.unionByName(below, allowMissingColumns=True), stacked)


def profile_rows(rows: DataFrame, key: str) -> DataFrame:
    """One row a key and time since when it holds (`updated_at`, or `ts`, in the logs); no key, no row.

    Where the log has no such column, one row a key. Of several the row with the greatest values wins, column by column
    in the order of their names: always the same one, in whatever order the files are read.
    """
    since = next((name for name in _VERSIONS if name in rows.columns), None)
    if since is not None:
        rows = rows.withColumn(UPDATED_AT, F.col(since))
    keys = [key] if since is None else [key, UPDATED_AT]
    rest = [name for name in rows.columns if name not in (key, *_VERSIONS)]
    row = F.struct(*sorted(rest), F.lit(0).alias("#"))  # a struct wants a field
    greatest = rows.where(F.col(key).isNotNull()).groupBy(*keys).agg(F.max(row).alias("#row"))
    return greatest.select(key, *[F.col("#row")[name].alias(name) for name in rest], *keys[1:])
