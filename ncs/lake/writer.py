"""Writing Delta tables: days, or a whole, replaced in one commit that says what it was made from."""

from collections.abc import Sequence

from pyspark.sql import DataFrame

from ncs.lake.layout import Record, user_metadata


def replace_days(
    rows: DataFrame,
    uri: str,
    records: Sequence[Record],
    partition: tuple[str, ...] = ("day",),
    rows_per_file: int = 0,
) -> None:
    """Put `rows` in the place of the days that `records` name; no other day is touched.

    A reader sees these days as they were or as they are now, never between. Writing the same twice changes no
    meaning. A `rows_per_file` of 0 sets no bound.
    """
    days = ", ".join(f"'{record.key}'" for record in records)
    writer = rows.write.format("delta").mode("overwrite").partitionBy(*partition)
    writer = writer.option("replaceWhere", f"day in ({days})")  # rows of another day are refused by Delta
    writer = writer.option("mergeSchema", "true")  # a new column of the logs flows through
    writer.option("maxRecordsPerFile", rows_per_file).option("userMetadata", user_metadata(records)).save(uri)


def replace_where(rows: DataFrame, uri: str, condition: str, record: Record, partition: tuple[str, ...]) -> None:
    """Put `rows` in the place of those that meet `condition`; a new column is null in all others."""
    writer = rows.write.format("delta").mode("overwrite").partitionBy(*partition).option("mergeSchema", "true")
    writer.option("replaceWhere", condition).option("userMetadata", user_metadata([record])).save(uri)


def replace_all(rows: DataFrame, uri: str, record: Record) -> None:
    """Put `rows` in the place of the whole table, its columns included."""
    writer = rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
    writer.option("userMetadata", user_metadata([record])).save(uri)
