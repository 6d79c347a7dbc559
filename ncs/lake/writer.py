"""Writing Delta tables: a day, or a whole, replaced in one commit that says what it was made from."""

from pyspark.sql import DataFrame

from ncs.lake.layout import Record


def replace_day(
    rows: DataFrame,
    uri: str,
    record: Record,
    partition: tuple[str, ...] = ("day",),
    rows_per_file: int = 0,
) -> None:
    """Put `rows`, all of day `record.key`, in the place of that day's partition; no other day is touched.

    A reader sees the day as it was or as it is now, never between. Writing the same twice changes no meaning.
    A `rows_per_file` of 0 sets no bound.
    """
    writer = rows.write.format("delta").mode("overwrite").partitionBy(*partition)
    writer = writer.option("replaceWhere", f"day = '{record.key}'")  # rows of another day are refused by Delta
    writer = writer.option("mergeSchema", "true")  # a new column of the logs flows through
    writer.option("maxRecordsPerFile", rows_per_file).option("userMetadata", record.to_json()).save(uri)


def replace_where(rows: DataFrame, uri: str, condition: str, record: Record, partition: tuple[str, ...]) -> None:
    """Put `rows` in the place of those that meet `condition`."""
    writer = rows.write.format("delta").mode("overwrite").partitionBy(*partition)
    writer.option("replaceWhere", condition).option("userMetadata", record.to_json()).save(uri)


def replace_all(rows: DataFrame, uri: str, record: Record) -> None:
    """Put `rows` in the place of the whole table, its columns included."""
    writer = rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
    writer.option("userMetadata", record.to_json()).save(uri)
