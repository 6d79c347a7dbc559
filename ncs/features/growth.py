"""A vocabulary that only grows: a value keeps its id for ever, new ones are appended."""

from collections.abc import Collection, Mapping

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F


def grow(known: DataFrame, learnt: DataFrame, growing: Collection[str], largest: Mapping[str, int]) -> DataFrame:
    """The known rows and, of the fields that grow, the values that are new, by falling count after the largest id.

    Args:
        known: rows of gold/vocabulary, `field, value, id, count`, which all stay as they are.
        learnt: the same, as learnt from the window alone; their ids are not looked at.
        growing: the fields of whose values each has an id of its own. Others, as buckets, keep what they have: an edge
            more would give the ids another meaning.
        largest: field -> the largest id that it ever had, also of a row that was erased since.
    """
    new = learnt.where(F.col("field").isin(*growing)).join(known, ["field", "value"], "left_anti")
    order = Window.partitionBy("field").orderBy(F.desc("count"), "value")
    names = [F.lit(part) for field in growing for part in (field, largest.get(field, 0))]
    after = F.create_map(*names)[F.col("field")] if names else F.lit(0)
    appended = new.select("field", "value", (F.row_number().over(order) + after).cast("int").alias("id"), "count")
    return known.select("field", "value", "id", "count").unionByName(appended)


def largest_ids(vocabulary: DataFrame) -> dict[str, int]:
    """Field -> its largest id."""
    return {row.field: row.largest for row in vocabulary.groupBy("field").agg(F.max("id").alias("largest")).collect()}
