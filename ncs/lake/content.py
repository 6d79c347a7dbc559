"""Digests of rows that do not depend on order, files or version: equal content, equal digest."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ncs.config import digest


def content(rows: DataFrame, key: str) -> dict[str, str]:
    """A digest of the rows of each value of `key`, in one pass. Order does not count, repetition does."""
    row = F.xxhash64(*sorted(rows.columns)).cast("decimal(38,0)")
    sums = rows.groupBy(key).agg(F.count("*"), F.sum(row)).collect()
    return {str(value): digest([sorted(rows.dtypes), count, str(total)]) for value, count, total in sums}
