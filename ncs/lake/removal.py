"""Taking users out of the tables: every row with their id, or with the id of one of their impressions."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, reduce

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ncs.errors import DataError
from ncs.lake import layout, upkeep
from ncs.lake.erasure import PREFIX
from ncs.lake.layout import ALL, ERASE, Lake, Record, user_metadata
from ncs.lake.tables import declared_table, is_sample_table
from ncs.lake.writer import retry_conflicts

_USER = "user_id"
_ROW = ["log", "day", "row"]
"""The key of a row of the quarantine."""


@dataclass(frozen=True)
class Erased:
    """Users to erase, and the ids of their impressions, wherever the lake knows them; both kept in Spark's memory."""

    users: DataFrame
    impressions: DataFrame

    @classmethod
    def of(cls, spark: SparkSession, lake: Lake, users: Collection[int]) -> "Erased":
        """Find the users' impressions in the tables that have both ids."""
        ids = spark.createDataFrame([(user,) for user in users], f"{_USER} bigint")
        pairs = [_read(spark, lake, name).select(_USER, "impression_id") for name in _by_user(lake, "impression_id")]
        if lake.has(layout.QUARANTINE):
            pairs.append(_quarantined(spark, lake).select(_USER, "impression_id"))
        none = spark.createDataFrame([], f"{_USER} bigint, impression_id string")
        rows = reduce(DataFrame.unionByName, pairs, none).join(ids, _USER, "left_semi")
        return cls(ids, rows.select("impression_id").where("impression_id IS NOT NULL").distinct().persist())

    def known_users(self, spark: SparkSession, lake: Lake) -> set[int]:
        """Those of the users that a table has a row of."""
        users = [_read(spark, lake, name).select(_USER) for name in _by_user(lake, _USER)]
        if lake.has(layout.QUARANTINE):
            users.append(_quarantined(spark, lake).select(_USER))
        if lake.has(layout.VOCABULARY):
            values = _read(spark, lake, layout.VOCABULARY).where(F.col("field") == _USER)
            users.append(values.select(F.expr("try_cast(value AS bigint)").alias(_USER)))
        if lake.has(layout.DAILY_STATISTICS):
            users.append(_summed(spark, lake).select(_USER).where(F.col(_USER).isNotNull()))
        none = spark.createDataFrame([], f"{_USER} bigint")
        rows = reduce(DataFrame.unionByName, users, none).join(self.users, _USER, "left_semi")
        return {row[_USER] for row in rows.distinct().collect()}

    def seen_by(self, spark: SparkSession, lake: Lake, tables: Mapping[str, int]) -> bool:
        """Whether versions of tables hold rows of theirs; a version that is gone may have done so."""
        for name, version in tables.items():
            try:
                lake.table(name, version)
                rows = _read(spark, lake, name, version)
                keys = _keys(self, spark, lake, name, rows)
                if keys is not None and not rows.join(keys, keys.columns, "left_semi").isEmpty():
                    return True
            except DataError:
                return True
        return False

    def remove(self, spark: SparkSession, lake: Lake, rows_per_file: int) -> Iterator[tuple[str, int]]:
        """Remove their rows, table by table, each in one commit. Yields the table and how many rows it lost.

        The impressions come last: if the call is killed before, the next one still finds out which they were. Files are
        rewritten without deletion vectors, under Delta's own conflict detection; `rows_per_file` bounds those of
        encoded samples.
        """
        for name in sorted(upkeep.tables(lake), key=lambda name: (name == layout.IMPRESSIONS, _USER in _columns(name))):
            rows = _read(spark, lake, name)
            keys = _keys(self, spark, lake, name, rows)
            if keys is None:
                continue
            columns = lake.table(name).metadata().partition_columns  # a record's key is of the first
            key = F.col(columns[0]).cast("string") if columns else F.lit(ALL)
            counts = rows.join(keys, keys.columns, "left_semi").groupBy(key.alias("key")).count().collect()
            if counts:
                records = [Record(ERASE, str(key), {}, {"rows": count}) for key, count in counts]
                with _settings(spark, user_metadata(records), rows_per_file if is_sample_table(name) else 0):
                    retry_conflicts(partial(_delete, spark, lake.uri(name), keys), name)
            yield name, sum(count for _, count in counts)


def without_erased(spark: SparkSession, rows: DataFrame, digests: Collection[str]) -> DataFrame:
    """Rows without those of erased users; those without a user id stay."""
    erased = spark.createDataFrame([(digest,) for digest in digests], "digest string")
    digest = F.sha2(F.concat(F.lit(PREFIX), F.col(_USER).cast("string")), 256)
    return rows.join(erased, digest == F.col("digest"), "left_anti")


def erased_impressions(spark: SparkSession, impressions: DataFrame, digests: Collection[str]) -> DataFrame:
    """The ids of erased users' impressions, among raw ones."""
    erased = spark.createDataFrame([(digest,) for digest in digests], "digest string")
    digest = F.sha2(F.concat(F.lit(PREFIX), F.col(_USER).cast("string")), 256)
    return impressions.join(erased, digest == F.col("digest"), "left_semi").select("impression_id")


def _keys(erased: Erased, spark: SparkSession, lake: Lake, name: str, rows: DataFrame) -> DataFrame | None:
    """The keys of the users' rows of a table; None where it has no rows of users."""
    if name == layout.QUARANTINE:
        users = _quarantined(spark, lake).join(erased.users, _USER, "left_semi").select(*_ROW)
        events = rows.join(erased.impressions, "impression_id", "left_semi").select(*_ROW)
        return users.unionByName(events).distinct()
    if name == layout.DAILY_STATISTICS:
        return _summed(spark, lake).join(erased.users, _USER, "left_semi").select("day", "group", "key")
    if name == layout.VOCABULARY:
        value = F.col(_USER).cast("string").alias("value")
        return erased.users.select(F.lit(_USER).alias("field"), value)
    if _USER in _columns(name):  # encoded samples may have a column of this name: an id of the vocabulary
        return erased.users
    return erased.impressions if "impression_id" in rows.columns else None


def _delete(spark: SparkSession, uri: str, keys: DataFrame) -> None:
    same = " AND ".join(f"t.`{column}` = s.`{column}`" for column in keys.columns)
    table = DeltaTable.forPath(spark, uri).alias("t")
    table.merge(keys.alias("s"), same).whenMatchedDelete().execute()


@contextmanager
def _settings(spark: SparkSession, message: str, rows_per_file: int) -> Iterator[None]:
    """Settings of the session for one commit."""
    settings = {
        "spark.databricks.delta.commitInfo.userMetadata": message,
        "spark.databricks.delta.merge.deletionVectors.persistent": "false",
        "spark.sql.files.maxRecordsPerFile": str(rows_per_file),
    }
    before = {key: spark.conf.get(key, None) for key in settings}
    try:
        for key, value in settings.items():
            spark.conf.set(key, value)
        yield
    finally:
        for key, old in before.items():
            if old is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, old)


def _quarantined(spark: SparkSession, lake: Lake) -> DataFrame:
    """The rows of the quarantine with the user id of the raw row, null where it has none."""
    user = F.expr("try_cast(get_json_object(row, '$.user_id') AS bigint)")
    return _read(spark, lake, layout.QUARANTINE).withColumn(_USER, user)


def _summed(spark: SparkSession, lake: Lake) -> DataFrame:
    """The sums of days with the user id in their key, null where there is none."""
    place = F.array_position(F.split("group", ","), _USER).cast("int")
    several = F.get(F.from_json("key", "array<string>"), place - 1)
    user = F.when(F.col("group") == _USER, F.col("key")).when(place > 0, several)
    return _read(spark, lake, layout.DAILY_STATISTICS).withColumn(_USER, user.try_cast("bigint"))


def _by_user(lake: Lake, column: str) -> list[str]:
    """The tables of the lake that have both a user id and a column."""
    return [name for name in upkeep.tables(lake) if {_USER, column} <= _columns(name)]


def _columns(name: str) -> set[str]:
    """The columns that the table declares: encoded samples may have others."""
    return set(declared_table(name).columns)


def _read(spark: SparkSession, lake: Lake, name: str, version: int | None = None) -> DataFrame:
    reader = spark.read.format("delta")
    if version is not None:
        reader = reader.option("versionAsOf", version)
    return reader.load(lake.uri(name))
